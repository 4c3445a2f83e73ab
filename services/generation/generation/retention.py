"""Retention: an ended run, with its prompt, its steps and its attempts, is kept for 30 days."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import delete, select

from generation.models import RunState, runs
from kit.database import Database, WriteSession, is_transient
from shared.ids import encode

log = structlog.get_logger()

KEEP_RUNS = timedelta(days=30)
INTERVAL_SECONDS = 3600.0
CHUNK = 1_000


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
        deleted = CHUNK
        while deleted == CHUNK:
            async with self._db.write() as session:
                deleted = await prune_runs(session, before=now - KEEP_RUNS, limit=CHUNK)


async def prune_runs(session: WriteSession, *, before: datetime, limit: int) -> int:
    """Delete ended runs of jobs that were made before a moment: ids of jobs rise with time."""
    oldest_kept = f"job_{encode(UUID(int=int(before.timestamp() * 1000) << 80))}"
    old = select(runs.c.job_id).where(runs.c.job_id < oldest_kept, runs.c.state == RunState.ENDED).limit(limit)
    result = await session.execute(delete(runs).where(runs.c.job_id.in_(old)).returning(runs.c.job_id))
    return len(result.all())
