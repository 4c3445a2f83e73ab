"""Retention: journals of jobs are kept for 90 days, webhooks for 45, used tickets and ended sessions for none."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

import structlog
from sqlalchemy import delete, func, select

from gateway.models import browser_sessions, job_events, tickets, webhooks
from kit.database import Database, WriteSession, is_transient
from shared.ids import encode

log = structlog.get_logger()

KEEP_JOURNAL = timedelta(days=90)
KEEP_WEBHOOKS = timedelta(days=45)
"""Longer than any sender repeats a message: Stripe lists its events for 30 days."""
INTERVAL_SECONDS = 3600.0
CHUNK = 5_000


class Prune(Protocol):
    """Deletes up to ``limit`` rows of one kind; returns how many."""

    async def __call__(self, session: WriteSession, *, before: datetime, limit: int) -> int: ...


class Retention:
    """Deletes what is too old, in small transactions."""

    name = "retention"

    def __init__(self, db: Database) -> None:
        self._db = db

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
        async with self._db.write() as session:
            await session.execute(delete(tickets).where(tickets.c.expires_at < func.now()))
            await session.execute(delete(browser_sessions).where(browser_sessions.c.expires_at < func.now()))
        await self._in_chunks(prune_journal, before=now - KEEP_JOURNAL)
        await self._in_chunks(prune_webhooks, before=now - KEEP_WEBHOOKS)

    async def _in_chunks(self, prune: Prune, *, before: datetime) -> None:
        deleted = CHUNK
        while deleted == CHUNK:
            async with self._db.write() as session:
                deleted = await prune(session, before=before, limit=CHUNK)


async def prune_journal(session: WriteSession, *, before: datetime, limit: int) -> int:
    """Delete events of jobs that were made before a moment: ids of jobs rise with time."""
    oldest_kept = f"job_{encode(UUID(int=int(before.timestamp() * 1000) << 80))}"
    old = select(job_events.c.event_id).where(job_events.c.job_id < oldest_kept).limit(limit)
    result = await session.execute(
        delete(job_events).where(job_events.c.event_id.in_(old)).returning(job_events.c.event_id)
    )
    return len(result.all())


async def prune_webhooks(session: WriteSession, *, before: datetime, limit: int) -> int:
    """Delete messages that came before a moment."""
    old = select(webhooks.c.id).where(webhooks.c.received_at < before).limit(limit)
    result = await session.execute(delete(webhooks).where(webhooks.c.id.in_(old)).returning(webhooks.c.id))
    return len(result.all())
