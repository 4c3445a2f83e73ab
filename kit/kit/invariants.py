"""Facts that must always hold, as SQL that returns the rows that contradict them.

They run on a timer, at the end of the main end-to-end journeys, in the verdict of the crash tests, and by
``python -m <service> invariants``. Some read whole tables that only grow, so they have a connection of their own, whose
statements may take as long as they need, and the timer rests the longer the longer they took.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from kit import metrics
from kit.database import Database, is_transient

log = structlog.get_logger()

SAMPLE = 5
LOCK_KEY = 0x_A7E1_1E4D  # any number, the same in every process of one database
INTERVAL_SECONDS = 300.0
REST = 20  # times as long as the checks took
PATIENCE_SECONDS = 3600.0  # for one check, after which its connection counts as dead


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
    async with db.patient(read_only=True) as connection:
        found = [await _violation(connection, invariant) for invariant in invariants]
    return [violation for violation in found if violation]


async def watch(db: Database, invariants: Sequence[Invariant], *, service: str) -> None:
    """Check on a timer until cancelled; a violation is an error in the log and a metric.

    One process of a service checks, the others stand by: it holds an advisory lock on the connection that it checks
    with, so who loses the connection loses the lock. Checks never take more than 5 % of that connection's time.
    """
    for invariant in invariants:
        metrics.INVARIANT_CHECKED.labels(service, invariant.name).set(time.time())  # until an alarm, it has as long
    while True:
        metrics.INVARIANTS_INTERVAL.labels(service).set(INTERVAL_SECONDS)
        await asyncio.sleep(INTERVAL_SECONDS)
        try:
            await _check_while_first(db, invariants, service=service)
        except Exception as error:
            unknown = None if is_transient(error) else error
            log.warning("invariants.waiting", service=service, reason=repr(error), exc_info=unknown)


async def _check_while_first(db: Database, invariants: Sequence[Invariant], *, service: str) -> None:
    """Check for as long as the connection lasts; returns at once when another process does."""
    async with db.patient(read_only=True) as connection:
        async with connection.begin():
            is_first = await connection.scalar(select(func.pg_try_advisory_lock(LOCK_KEY)))
        if not is_first:
            for invariant in invariants:
                metrics.INVARIANT_VIOLATIONS.labels(service, invariant.name).set(0)  # what was found here is old
            return
        while True:
            began = time.monotonic()
            for invariant in invariants:
                await _tell(connection, invariant, service=service)
            took = time.monotonic() - began
            pause = max(INTERVAL_SECONDS, REST * took)
            metrics.INVARIANTS_INTERVAL.labels(service).set(took + pause)
            await asyncio.sleep(pause)


async def _tell(connection: AsyncConnection, invariant: Invariant, *, service: str) -> None:
    """Check one; when that cannot be done, the others are checked all the same."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            violation = await _violation(connection, invariant)
    except Exception as error:
        if connection.invalidated:
            raise  # and the lock is lost
        unknown = None if is_transient(error) else error
        log.warning("invariant.skipped", invariant=invariant.name, reason=repr(error), exc_info=unknown)
        return
    metrics.INVARIANT_CHECKED.labels(service, invariant.name).set(time.time())
    metrics.INVARIANT_VIOLATIONS.labels(service, invariant.name).set(violation.count if violation else 0)
    if violation:
        log.error("invariant.violated", invariant=invariant.name, rows=violation.count, sample=violation.sample)


async def _violation(connection: AsyncConnection, invariant: Invariant) -> Violation | None:
    query = text(f"SELECT *, count(*) OVER () AS total FROM ({invariant.sql}) AS offending LIMIT {SAMPLE}")  # noqa: S608
    async with connection.begin():
        rows = (await connection.execute(query)).mappings().all()
    if not rows:
        return None
    sample = [{name: value for name, value in row.items() if name != "total"} for row in rows]
    return Violation(invariant, rows[0]["total"], sample)
