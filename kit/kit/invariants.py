"""Facts that must always hold, as SQL that returns the rows that contradict them.

They run on a timer, after every end-to-end and crash test, and by ``python -m <service> invariants``.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import text

from kit import metrics
from kit.database import Database, is_transient

log = structlog.get_logger()

SAMPLE = 5
INTERVAL_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Invariant:
    """``sql`` selects the offending rows; ``fact`` says in one sentence what must hold."""

    name: str
    fact: str
    sql: str


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold, with a few of the offending rows."""

    invariant: Invariant
    count: int
    sample: list[dict[str, Any]]


KERNEL = (
    Invariant(
        "outbox_is_drained",
        "No committed event waits longer than five minutes to be sent.",
        "SELECT id, topic, key FROM outbox WHERE sent_at IS NULL AND created_at < now() - interval '5 minutes'",
    ),
    Invariant(
        "dead_letters_are_handled",
        "No dead letter is older than 21 days.",
        "SELECT id, topic, key FROM dead_letters WHERE created_at < now() - interval '21 days'",
    ),
    Invariant(
        "inbox_is_pruned",
        "No handled event is remembered for longer than 31 days.",
        "SELECT event_id FROM inbox WHERE event_id < CAST(lpad(to_hex("  # the UUIDv7 of that moment, to use the index
        "CAST(extract(epoch FROM now() - interval '31 days') * 1000 AS bigint)), 12, '0') || repeat('0', 20) AS uuid)",
    ),
)


async def check(db: Database, invariants: Sequence[Invariant]) -> list[Violation]:
    """Every invariant that does not hold now."""
    found = [await _violation(db, invariant) for invariant in invariants]
    return [violation for violation in found if violation]


async def watch(db: Database, invariants: Sequence[Invariant], *, service: str) -> None:
    """Check on a timer until cancelled; a violation is an error in the log and a metric."""
    for invariant in invariants:
        metrics.INVARIANT_CHECKED.labels(service, invariant.name).set(time.time())  # until an alarm, it has as long
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        for invariant in invariants:
            await _tell(db, invariant, service=service)


async def _tell(db: Database, invariant: Invariant, *, service: str) -> None:
    """Check one; when that cannot be done, the others are checked all the same."""
    try:
        violation = await _violation(db, invariant)
    except Exception as error:
        unknown = None if is_transient(error) else error
        log.warning("invariant.skipped", invariant=invariant.name, reason=repr(error), exc_info=unknown)
        return
    metrics.INVARIANT_CHECKED.labels(service, invariant.name).set(time.time())
    metrics.INVARIANT_VIOLATIONS.labels(service, invariant.name).set(violation.count if violation else 0)
    if violation:
        log.error("invariant.violated", invariant=invariant.name, rows=violation.count, sample=violation.sample)


async def _violation(db: Database, invariant: Invariant) -> Violation | None:
    query = text(f"SELECT *, count(*) OVER () AS total FROM ({invariant.sql}) AS offending LIMIT {SAMPLE}")  # noqa: S608
    async with db.read() as session:
        rows = (await session.execute(query)).mappings().all()
    if not rows:
        return None
    sample = [{name: value for name, value in row.items() if name != "total"} for row in rows]
    return Violation(invariant, rows[0]["total"], sample)
