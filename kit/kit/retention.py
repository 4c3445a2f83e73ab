"""Retention: rows whose time is over are deleted, hourly and in small transactions.

A service lists a :class:`Rule` per table and gives one :class:`Retention` to its workers.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Column, ColumnElement, delete, select

from kit.database import Database, is_transient
from kit.sql import affected

log = structlog.get_logger()

INTERVAL_SECONDS = 3600.0
CHUNK = 1_000
"""Rows per transaction; what goes with them by a cascade does not count."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of the table of ``key``, a unique column, are deleted ``keep`` after they were ``over``.

    ``over`` is the condition that a row's time was over at a moment.
    """

    key: Column[Any]
    over: Callable[[datetime], ColumnElement[bool]]
    keep: timedelta = timedelta()


class Retention:
    """The worker that follows the rules."""

    name = "retention"

    def __init__(self, db: Database, rules: Sequence[Rule]) -> None:
        self._db = db
        self._rules = rules

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
        for rule in self._rules:
            while await self._delete_some(rule, now - rule.keep) == CHUNK:
                pass

    async def _delete_some(self, rule: Rule, moment: datetime) -> int:
        over = select(rule.key).where(rule.over(moment)).limit(CHUNK)
        async with self._db.write() as session:
            return await affected(session, delete(rule.key.table).where(rule.key.in_(over)))
