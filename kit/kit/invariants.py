"""Facts that must always hold, as SQL that returns the rows that contradict them.

They run on a timer, after every end-to-end and crash test, and by ``python -m <service> invariants``.
"""

import asyncio
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
)


async def check(db: Database, invariants: Sequence[Invariant]) -> list[Violation]:
    """Every invariant that does not hold now."""
    violations = []
    async with db.read() as session:
        for invariant in invariants:
            query = text(f"SELECT *, count(*) OVER () AS total FROM ({invariant.sql}) AS offending LIMIT {SAMPLE}")  # noqa: S608
            rows = (await session.execute(query)).mappings().all()
            if rows:
                sample = [{name: value for name, value in row.items() if name != "total"} for row in rows]
                violations.append(Violation(invariant, rows[0]["total"], sample))
    return violations


async def watch(db: Database, invariants: Sequence[Invariant], *, service: str) -> None:
    """Check on a timer until cancelled; a violation is an error in the log and a metric."""
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        try:
            found = {violation.invariant.name: violation for violation in await check(db, invariants)}
        except Exception as error:
            log.warning("invariants.skipped", reason=repr(error), exc_info=None if is_transient(error) else error)
            continue
        for invariant in invariants:
            violation = found.get(invariant.name)
            metrics.INVARIANT_VIOLATIONS.labels(service, invariant.name).set(violation.count if violation else 0)
            if violation:
                log.error("invariant.violated", invariant=invariant.name, rows=violation.count, sample=violation.sample)
