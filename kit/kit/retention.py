"""Retention: rows whose time is over are deleted, hourly and in small transactions.

A service lists a :class:`Rule` per table; those of the kernel's tables are :func:`kernel_rules`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Column, ColumnElement, delete, select

from kit.database import Database, is_transient
from kit.sql import affected
from kit.tables import idempotency_keys, inbox, outbox

log = structlog.get_logger()

FIRST_SECONDS = 60.0
"""Soon after the start, so that a service which never runs for an hour deletes as well."""
INTERVAL_SECONDS = 3600.0
CHUNK = 1_000
"""Rows per transaction; what goes with them by a cascade does not count."""

KEEP_INBOX = timedelta(days=30)
"""Longer than topics are kept (7 days), so that a full replay of a topic finds every id."""
KEEP_IDEMPOTENCY_KEYS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of the table of ``key`` are deleted ``keep`` after they were ``over``.

    ``over`` is the condition that a row's time was over at a moment. ``key`` is an indexed column which alone decides
    that, or which is unique.
    """

    key: Column[Any]
    over: Callable[[datetime], ColumnElement[bool]]
    keep: timedelta = timedelta()


def kernel_rules(*, outbox_keep: timedelta) -> tuple[Rule, ...]:
    """The ids of handled events, the replays of requests, and the sent events that are kept."""
    return (
        Rule(inbox.c.event_id, lambda moment: inbox.c.event_id < _earliest(moment), KEEP_INBOX),
        Rule(
            idempotency_keys.c.created_at, lambda moment: idempotency_keys.c.created_at < moment, KEEP_IDEMPOTENCY_KEYS
        ),
        Rule(outbox.c.id, lambda moment: outbox.c.sent_at < moment, outbox_keep),
    )


def _earliest(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


class Retention:
    """The worker that follows the rules."""

    name = "retention"

    def __init__(self, db: Database, rules: Sequence[Rule]) -> None:
        self._db = db
        self._rules = rules

    async def run(self) -> None:
        """Delete on a timer until cancelled."""
        pause = FIRST_SECONDS
        while True:
            await asyncio.sleep(pause)
            await self.sweep(datetime.now(UTC))
            pause = INTERVAL_SECONDS

    async def drain(self, seconds: float) -> None:
        """A sweep may end anywhere."""

    async def sweep(self, now: datetime) -> None:
        """Delete everything whose time is over. A rule that cannot be followed is told, and holds up no other."""
        for rule in self._rules:
            try:
                while await self._delete_some(rule, now - rule.keep) >= CHUNK:
                    pass
            except Exception as error:
                log.warning(
                    "retention.skipped",
                    table=rule.key.table.name,
                    reason=repr(error),
                    exc_info=None if is_transient(error) else error,
                )

    async def _delete_some(self, rule: Rule, moment: datetime) -> int:
        over = select(rule.key).where(rule.over(moment)).limit(CHUNK)
        async with self._db.write() as session:
            return await affected(session, delete(rule.key.table).where(rule.key.in_(over)))
