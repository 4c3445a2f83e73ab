"""Messages that could not be handled, and those that wait behind them: rows in the service's own database.

While a key has a dead letter, its later events are parked. ``replay`` runs a key's letters in order through the same
edge as live messages; list, show and drop are SQL.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError
from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from kit.database import Database, ReadSession, WriteSession, is_transient
from kit.subscriptions import Record
from kit.tables import dead_letters as table
from shared.contract import faults

TRANSIENT_ATTEMPTS = 5
RETRY_SECONDS = 0.2


class LetterWaitsError(Exception):
    """An earlier letter of the same key must be replayed or dropped first."""


class Replayer(Protocol):
    """The edge that runs a letter again."""

    async def replay(self, record: Record, *, finish: Callable[[WriteSession], Awaitable[None]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead or parked message, shaped like the Kafka record it was."""

    id: int
    topic: str
    partition: int
    offset: int
    key: bytes
    headers: list[tuple[str, bytes]]
    value: bytes
    type: str
    state: str
    error: str
    attempts: int
    created_at: Any


def key_text(record: Record) -> str:
    """The Kafka key as text; bytes that are not UTF-8 are escaped."""
    return (record.key or b"").decode(errors="backslashreplace")


def error_text(error: Exception) -> str:
    """What is kept of an error: its type and what was wrong, never a customer's input."""
    return f"{type(error).__name__}: {faults(error) if isinstance(error, ValidationError) else error}"


def letter(record: Record, wire_type: str, *, state: str, error: str = "", attempts: int = 0) -> dict[str, Any]:
    """The row of a message that is set aside."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": _storable(key_text(record)),
        "type": _storable(wire_type),
        "headers": {_storable(name): _storable((value or b"").decode("latin-1")) for name, value in record.headers},
        "value": record.value or b"",
        "state": state,
        "error": _storable(error[:4000]),
        "attempts": attempts,
    }


def _storable(value: str) -> str:
    """Text as PostgreSQL takes it: NUL characters and lone surrogates are escaped."""
    return value.replace("\x00", "\\x00").encode(errors="backslashreplace").decode()


async def store(session: WriteSession, letters: Sequence[dict[str, Any]]) -> None:
    """Insert letters; a record that is there already stays as it is."""
    if letters:
        await session.execute(insert(table).on_conflict_do_nothing(constraint="dead_letters_position"), letters)


async def find(session: ReadSession, *, key: str | None = None, limit: int = 100) -> list[Letter]:
    """Letters in the order in which they would be replayed."""
    query = select(table).order_by(table.c.topic, table.c.key, table.c.partition, table.c.offset).limit(limit)
    if key is not None:
        query = query.where(table.c.key == key)
    return [_from_row(row) for row in await session.execute(query)]


async def get(session: ReadSession, identifier: int) -> Letter | None:
    """One letter, or None."""
    row = (await session.execute(select(table).where(table.c.id == identifier))).one_or_none()
    return _from_row(row) if row else None


async def count(session: ReadSession) -> dict[str, int]:
    """Number of letters by state."""
    rows = await session.execute(select(table.c.state, func.count()).group_by(table.c.state))
    return {"dead": 0, "parked": 0} | {row[0]: row[1] for row in rows}


async def drop(session: WriteSession, identifier: int) -> bool:
    """Forget one letter for good; False when there is none. What is parked behind it needs a replay to go on."""
    result = await session.execute(delete(table).where(table.c.id == identifier).returning(table.c.id))
    return result.one_or_none() is not None


async def replay(db: Database, edge: Replayer, *, key: str | None = None) -> tuple[int, int]:
    """Run letters in order through the edge; a key stops at its first failure. Returns (handled, failed keys).

    Raises what the database says when it is away or stays busy; no letter has failed by that.
    """
    handled = 0
    failed: set[tuple[str, str]] = set()
    while True:
        async with db.read() as session:
            letters = await _next(session, skip=failed, key=key)
        if not letters:
            return handled, len(failed)
        for found in letters:
            identity = (found.topic, key_text(found))
            if identity in failed:
                continue
            if await _handled(db, edge, found):
                handled += 1
            else:
                failed.add(identity)


async def replay_one(db: Database, edge: Replayer, identifier: int) -> bool:
    """Run one letter through the edge; False when it failed again. Raises LookupError, LetterWaitsError.

    What is parked behind it stays there. Raises what :func:`replay` raises, too.
    """
    async with db.read() as session:
        found = await get(session, identifier)
        if found is None:
            raise LookupError(identifier)
        (first,) = (
            await session.execute(
                select(table.c.id)
                .where(table.c.topic == found.topic, table.c.key == key_text(found))
                .order_by(table.c.partition, table.c.offset)
                .limit(1)
            )
        ).scalars()
    if first != identifier:
        raise LetterWaitsError(f"letter {identifier} waits behind {first} of the same key; replay that one first")
    return await _handled(db, edge, found)


async def _handled(db: Database, edge: Replayer, found: Letter) -> bool:
    """Run a letter and remove it, or note why it failed."""
    try:
        await _run(edge, found)
    except Exception as error:
        if is_transient(error):
            raise
        values = {"state": "dead", "attempts": table.c.attempts + 1, "error": _storable(error_text(error)[:4000])}
        async with db.write() as session:
            await session.execute(update(table).where(table.c.id == found.id).values(values))
        return False
    return True


async def _run(edge: Replayer, found: Letter) -> None:
    """Run a letter; a deadlock or a lock that is not free in time says nothing about it."""
    for attempt in itertools.count(1):
        try:
            await edge.replay(found, finish=_remover(found.id))
            return
        except Exception as error:
            if attempt == TRANSIENT_ATTEMPTS or not is_transient(error):
                raise
        await asyncio.sleep(RETRY_SECONDS * attempt)


async def _next(session: ReadSession, *, skip: set[tuple[str, str]], key: str | None) -> list[Letter]:
    query = select(table).order_by(table.c.topic, table.c.partition, table.c.offset).limit(100)
    if key is not None:
        query = query.where(table.c.key == key)
    if skip:
        query = query.where(tuple_(table.c.topic, table.c.key).not_in(list(skip)))
    return [_from_row(row) for row in await session.execute(query)]


def _remover(identifier: int) -> Callable[[WriteSession], Awaitable[None]]:
    async def remove(session: WriteSession) -> None:
        await session.execute(delete(table).where(table.c.id == identifier))

    return remove


def _from_row(row: Any) -> Letter:
    values = row._asdict()
    values["key"] = values["key"].encode()
    values["headers"] = [(name, value.encode("latin-1", "replace")) for name, value in values["headers"].items()]
    return Letter(**values)
