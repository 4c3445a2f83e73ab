"""Due work as table rows: a worker takes a row for a limited time, and a killed worker loses its lease, nothing else.

All times are the database's clock. A row inserted by :meth:`LeaseWorker.insert` belongs to the inserting process and is
started when the transaction commits; everything else is claimed with SKIP LOCKED, by priority and ``turn``. ``turn`` is
fixed at insert, so fairness between accounts costs nothing at claim.
"""

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Row,
    Select,
    SmallInteger,
    Table,
    Text,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import UUID

from kit import metrics, tracing
from kit.backoff import Backoff
from kit.database import Database, WriteSession, after_commit, after_rollback, is_transient
from shared.ids import uuid7

log = structlog.get_logger()

POLL_SECONDS = 1.0
MAX_ATTEMPTS = 32_767
"""What the column holds. A row that fails for months stays at this number and is tried on."""
MAX_DOUBLINGS = 20
MAX_BACKOFF_SECONDS = 300.0


def lease_columns() -> list[Column[Any]]:
    """The columns of a table whose rows are due work; ``due_at`` is null when nothing is due."""
    return [
        Column("due_at", DateTime(timezone=True), nullable=True),
        Column("priority", SmallInteger, nullable=False, server_default="0"),
        Column("turn", BigInteger, nullable=False, server_default="0"),
        Column("attempts", SmallInteger, nullable=False, server_default="0"),
        Column("lease_token", UUID(as_uuid=True), nullable=True),
        Column("leased_until", DateTime(timezone=True), nullable=True),
        Column("traceparent", Text, nullable=True),
    ]


def lease_index(table: str) -> Index:
    """The index that claims use."""
    return Index(f"{table}_due", "priority", "turn", "due_at", postgresql_where=text("due_at IS NOT NULL"))


class LeaseLostError(Exception):
    """The lease ended or was taken over; whatever this worker was doing no longer counts."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one row. ``until`` is on this process's monotonic clock, never later than the database's."""

    id: Any
    token: uuid.UUID
    until: float
    attempts: int
    row: Any

    @property
    def remaining(self) -> float:
        """Seconds left."""
        return self.until - time.monotonic()


def now_plus(seconds: float) -> Any:
    """A moment on the database's clock."""
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def finished() -> dict[str, Any]:
    """Column values of a row with nothing left to do."""
    return {"due_at": None, "lease_token": None, "leased_until": None}


def retry_after(seconds: float, *, attempts: int | None = None) -> dict[str, Any]:
    """Column values that give the row back until ``seconds`` from now.

    ``attempts``: how many count from then on, such as ``lease.attempts - 1`` when this one is to count for nothing.
    """
    given_back = {"due_at": now_plus(seconds), "lease_token": None, "leased_until": None}
    return given_back if attempts is None else {**given_back, "attempts": attempts}


def _key(table: Table) -> Column[Any]:
    """The primary key, by which a lease names its row."""
    (key,) = table.primary_key.columns
    return key


def held_by(table: Table, lease: Lease) -> Any:
    """The condition that this lease still holds its row; add it to every write of the work."""
    return (_key(table) == lease.id) & (table.c.lease_token == lease.token) & (table.c.leased_until > func.now())


async def write_held(
    session: WriteSession, table: Table, lease: Lease, values: Mapping[str, Any], *wanted: Column[Any]
) -> Row[Any]:
    """Write the row of the work. Returns its key, and what is ``wanted`` of it, as it is then.

    Raises LeaseLostError when this lease holds it no more.
    """
    write = update(table).where(held_by(table, lease)).values(**values).returning(_key(table), *wanted)
    row = (await session.execute(write)).one_or_none()
    if row is None:
        raise LeaseLostError(f"{table.name} {lease.id} is done or was taken over")
    return row


async def extend(session: WriteSession, table: Table, lease: Lease, seconds: float) -> None:
    """Keep others from the row until ``seconds`` from now. Raises LeaseLostError when this lease holds it no more.

    The work itself is still cancelled when ``lease.until`` is over; what is to go on has a task of its own.
    """
    await write_held(session, table, lease, {"leased_until": now_plus(seconds)})


Work = Callable[[Lease], Awaitable[None]]


class LeaseWorker:
    """Runs ``work`` for due rows of ``table``, at most ``concurrency`` at a time in this process.

    ``work`` writes its result with :func:`write_held`. When it raises, the row is given back after ``retry_seconds``
    with backoff, as soon as the database can be told; when it overruns its lease it is cancelled.

    With ``share`` no value of that column has more rows at work than places are free, so one alone takes half of them,
    and whoever comes next finds room. Such rows are not inserted by :meth:`insert`.

    ``places`` tells, whenever rows could be taken, how many may be at work then, ``concurrency`` at most: for work that
    needs more than its row, such as a server that is away. What is due meanwhile stays due, for other processes too.
    """

    def __init__(
        self,
        db: Database,
        table: Table,
        work: Work,
        *,
        service: str,
        concurrency: int = 16,
        lease_seconds: float = 60.0,
        retry_seconds: float = 1.0,
        poll_seconds: float = POLL_SECONDS,
        share: Column[Any] | None = None,
        places: Callable[[], int] | None = None,
    ) -> None:
        self.name = table.name
        self._db = db
        self._table = table
        self._work = work
        self._service = service
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._retry_seconds = retry_seconds
        self._poll_seconds = poll_seconds
        self._share = share
        self._places = places
        self._running: dict[asyncio.Task[None], Any] = {}  # with the value of the share
        self._reserved = 0
        self._wake = asyncio.Event()
        self._more_due = False
        self._accepting = False
        metrics.LEASES_LOST.labels(service, self.name)  # or the first one would not count as an increase

    async def insert(self, session: WriteSession, rows: Sequence[dict[str, Any]]) -> None:
        """Insert due rows: leased to this process while it has room, due for anyone otherwise.

        The leased ones start when the transaction commits. All rows must have the same keys, the primary among them.
        """
        free = self._free() if self._accepting else 0
        mine, others = rows[:free], rows[free:]
        if mine:
            until = time.monotonic() + self._lease_seconds
            born = [{**row, "lease_token": uuid7()} for row in mine]
            self._reserved += len(born)
            after_rollback(session, lambda: self._release(len(born)))
            after_commit(session, lambda: self._start_born(born, until))
            # Not now(), when this transaction began: the lease must not end for the database before `until`.
            ends = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, self._lease_seconds)
            leased = {"due_at": func.now(), "leased_until": ends, "attempts": 1}
            await session.execute(insert(self._table).values(**leased), born)
        if others:
            after_commit(session, self.wake)
            await session.execute(insert(self._table).values(due_at=func.now()), others)

    def wake(self) -> None:
        """Look for due rows now."""
        self._more_due = True
        self._wake.set()

    async def run(self) -> None:
        """Claim and work until cancelled, then let running work end by itself (the caller bounds the time)."""
        self._accepting = True
        try:
            while True:
                self._wake.clear()
                claimed = 0
                try:
                    claimed = await self._claim()
                except Exception as error:
                    if not is_transient(error):
                        log.exception("leases.claim_failed", service=self._service, work=self.name)
                    else:
                        log.warning("leases.waiting", service=self._service, work=self.name, reason=repr(error))
                if not claimed:
                    with contextlib.suppress(TimeoutError):
                        # not wait_for: until Python 3.12 it loses a cancellation that meets the wake-up
                        async with asyncio.timeout(self._poll_seconds):
                            await self._wake.wait()
        finally:
            self._accepting = False

    async def drain(self, seconds: float) -> None:
        """Wait for running work; what is not done by then is cancelled and comes back when its lease ends."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _free(self) -> int:
        places = self._concurrency if self._places is None else min(self._concurrency, self._places())
        return max(0, places - len(self._running) - self._reserved)

    async def _claim(self) -> int:
        free = self._free()
        if not free:
            return 0
        self._more_due = False
        until = time.monotonic() + self._lease_seconds
        self._reserved += free  # or what is inserted before the commit would be given the same places
        try:
            rows = await self._take(free)
        finally:
            self._release(free)
        self._more_due |= len(rows) == free
        for row in rows:
            self._start(Lease(getattr(row, _key(self._table).name), row.lease_token, until, row.attempts, row))
        metrics.LEASES_CLAIMED.labels(self._service, self.name).inc(len(rows))
        return len(rows)

    async def _take(self, free: int) -> Sequence[Row[Any]]:
        table = self._table
        take = (
            update(table)
            .values(
                lease_token=func.gen_random_uuid(),
                leased_until=now_plus(self._lease_seconds),
                attempts=func.least(table.c.attempts, MAX_ATTEMPTS - 1) + 1,
            )
            .returning(table)
        )
        async with self._db.write() as session:
            due = (
                await self._shared_out(session, free) if self._share is not None else self._due(free).scalar_subquery()
            )
            return list(await session.execute(take.where(_key(table).in_(due))))

    def _due(self, most: int, *more: Column[Any]) -> Select[Any]:
        table = self._table
        return (
            select(_key(table), *more)
            .where(table.c.due_at <= func.now(), (table.c.leased_until.is_(None)) | (table.c.leased_until < func.now()))
            .order_by(table.c.priority, table.c.turn, table.c.due_at)
            .limit(most)
            .with_for_update(skip_locked=True)
        )

    async def _shared_out(self, session: WriteSession, free: int) -> list[Any]:
        """The keys of due rows, as many of each share as leave the others room."""
        assert self._share is not None
        running = Counter(self._running.values())
        full = [share for share, count in running.items() if count >= free]
        keys: list[Any] = []
        for key, share in await session.execute(self._due(free, self._share).where(self._share.not_in(full))):
            if running[share] < free - len(keys):
                running[share] += 1
                keys.append(key)
        self._more_due |= bool(full)
        return keys

    def _start_born(self, rows: Sequence[dict[str, Any]], until: float) -> None:
        self._release(len(rows))
        for row in rows:
            self._start(Lease(row[_key(self._table).name], row["lease_token"], until, 1, BornRow(self._table, row)))

    def _release(self, count: int) -> None:
        self._reserved -= count

    def _start(self, lease: Lease) -> None:
        task = asyncio.create_task(self._guard(lease))
        self._running[task] = None if self._share is None else getattr(lease.row, self._share.name)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        # half of the room at once, because every claim is a transaction
        if self._more_due and len(self._running) <= self._concurrency // 2:
            self._wake.set()

    async def _guard(self, lease: Lease) -> None:
        traceparent = lease.row.traceparent
        try:
            with (
                metrics.WORK_SECONDS.labels(self._service, self.name).time(),
                tracing.span(f"work {self.name}", traceparent, row_id=str(lease.id)),
            ):
                async with asyncio.timeout(max(0.0, lease.remaining)) as limit:
                    await self._work(lease)
        except Exception as error:
            if isinstance(error, LeaseLostError) or limit.expired():
                metrics.LEASES_LOST.labels(self._service, self.name).inc()
                log.warning("lease.lost", service=self._service, work=self.name, id=str(lease.id), reason=repr(error))
            else:
                await self._give_back(lease, error)

    async def _give_back(self, lease: Lease, error: Exception) -> None:
        delay = min(self._retry_seconds * 2 ** min(lease.attempts - 1, MAX_DOUBLINGS), MAX_BACKOFF_SECONDS)
        transient = is_transient(error)
        log.warning(
            "work.delayed",
            service=self._service,
            work=self.name,
            id=str(lease.id),
            reason=repr(error),
            retry_seconds=delay,
            exc_info=None if transient else error,
        )
        given_back = update(self._table).where(held_by(self._table, lease)).values(**retry_after(delay))
        backoff = Backoff()
        while lease.remaining > 0:
            try:
                async with self._db.write() as session:
                    await session.execute(given_back)
                return
            except Exception as failure:
                if not is_transient(failure):
                    log.exception("lease.kept", service=self._service, work=self.name, id=str(lease.id))
                    return
            await backoff.pause()


class BornRow:
    """The values of a row that was inserted born leased, read like a database row. What was not given is None."""

    def __init__(self, table: Table, values: dict[str, Any]) -> None:
        self._table = table
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name not in self._table.c:
            raise AttributeError(f"{self._table.name} has no column {name}")
        return self._values.get(name)
