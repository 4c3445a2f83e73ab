"""The inbox holds the ids of handled events. Its rows are written by the edge; this module only prunes them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete

from kit.database import WriteSession
from kit.tables import inbox

KEEP = timedelta(days=30)
"""Longer than topics are kept (7 days), so that a full replay of a topic finds every id."""


async def prune(session: WriteSession) -> None:
    """Delete ids older than 30 days by their UUIDv7 range."""
    milliseconds = int((datetime.now(UTC) - KEEP).timestamp() * 1000)
    await session.execute(delete(inbox).where(inbox.c.event_id < UUID(int=milliseconds << 80)))
