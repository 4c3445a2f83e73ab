"""Retention: ended deliveries and their attempts are kept for a while, then deleted."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import delete, select

from kit.database import Database, WriteSession, is_transient
from publishing.models import deliveries

log = structlog.get_logger()

INTERVAL_SECONDS = 3600.0
CHUNK = 1_000


class Retention:
    """Deletes what is too old, in small transactions."""

    name = "retention"

    def __init__(self, db: Database, *, keep: timedelta) -> None:
        self._db = db
        self._keep = keep

    async def run(self) -> None:
        """Delete on a timer until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                await self.sweep(datetime.now(UTC))
            except Exception as error:
                log.warning("retention.skipped", reason=repr(error), exc_info=None if is_transient(error) else error)

    async def drain(self, seconds: float) -> None:
        """A sweep may end anywhere."""

    async def sweep(self, now: datetime) -> None:
        """Delete everything whose time is over."""
        deleted = CHUNK
        while deleted == CHUNK:
            async with self._db.write() as session:
                deleted = await prune_deliveries(session, before=now - self._keep, limit=CHUNK)


async def prune_deliveries(session: WriteSession, *, before: datetime, limit: int) -> int:
    """Delete what ended before a moment."""
    old = select(deliveries.c.id).where(deliveries.c.ended_at < before).limit(limit)
    result = await session.execute(delete(deliveries).where(deliveries.c.id.in_(old)).returning(deliveries.c.id))
    return len(result.all())
