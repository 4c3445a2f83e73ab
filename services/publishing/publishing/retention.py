"""Retention: ended deliveries and their attempts are kept for a while, then deleted."""

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy import delete

from kit.database import Database, WriteSession
from kit.leases import now_plus
from publishing.models import deliveries

log = structlog.get_logger()

INTERVAL_SECONDS = 3600.0


async def prune(session: WriteSession, *, keep: timedelta) -> int:
    """Delete what ended longer ago than ``keep``; returns how many deliveries that were."""
    old = deliveries.c.ended_at < now_plus(-keep.total_seconds())
    return len((await session.scalars(delete(deliveries).where(old).returning(deliveries.c.id))).all())


async def watch(db: Database, *, keep: timedelta) -> None:
    """Prune each hour until cancelled."""
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        try:
            async with db.write() as session:
                pruned = await prune(session, keep=keep)
            log.info("deliveries.pruned", count=pruned)
        except Exception as error:
            log.warning("deliveries.pruning_skipped", reason=repr(error))
