"""Customers: they post jobs as fast as they are accepted, and the books tell when the jobs are done."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg

from bench.http import Connection
from bench.peer.programs import Peer
from bench.servers import Atelier
from devstack.infra import Infra
from gateway.accounts import register
from gateway.keys import create_key
from kit import outbox
from kit.database import Database

CONNECTIONS = 64
LONGEST_WAIT_SECONDS = 3000.0
BODY: dict[str, Any] = {"kind": "image", "input": {"prompt": "a lighthouse in a storm, oil painting"}}


@dataclass(frozen=True, slots=True)
class Posted:
    """What it took to have jobs accepted."""

    seconds: float
    latencies: Sequence[float]


class Side(Protocol):
    """Atelier or the peer, as its customers see it."""

    keys: list[str]

    @property
    def port(self) -> int: ...

    @property
    def body(self) -> bytes: ...

    async def done(self) -> int:
        """How many jobs were ever made, kept and paid."""
        ...


class AtelierSide:
    """Accounts of Atelier, and a look at its books that costs nearly nothing."""

    def __init__(self, infra: Infra, system: Atelier) -> None:
        self.system = system
        self.port = system.port
        self.body = json.dumps({**BODY, "deadline_seconds": 3600}).encode()
        self.keys: list[str] = []
        self._infra = infra
        self._books: asyncpg.Connection

    async def open(self, accounts: int) -> None:
        """Register accounts and wait until billing has given them credits."""
        db = Database(self._infra.postgres.url("gateway"), name="bench")
        db.before_commit(outbox.flush)
        async with db.write() as session:
            for _ in range(accounts):
                account = await register(session, email=f"{len(self.keys)}@example.com")
                key = await create_key(session, account_id=account.id, name="bench")
                self.keys.append(key.secret)
        await db.close()
        self._books = await connect(self._infra, "gateway")
        async with asyncio.timeout(60):
            while await self._books.fetchval("SELECT count(*) FROM balances") < accounts:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def done(self) -> int:
        return int(await self._books.fetchval("SELECT count(*) FROM jobs WHERE captured IS NOT NULL"))

    async def close(self) -> None:
        await self._books.close()


class PeerSide:
    """Accounts of the peer, and a look at its books."""

    def __init__(self, infra: Infra, system: Peer) -> None:
        self.system = system
        self.port = system.port
        self.body = json.dumps(BODY).encode()
        self.keys: list[str] = []
        self._infra = infra
        self._books: asyncpg.Connection

    async def open(self, accounts: int) -> None:
        self.keys = await self.system.prepare(accounts)
        self._books = await connect(self._infra, "peer")

    async def done(self) -> int:
        return int(await self._books.fetchval("SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL"))

    async def close(self) -> None:
        await self._books.close()


@asynccontextmanager
async def customers(
    infra: Infra, accounts: int, *, settings: Mapping[str, str] | None = None
) -> AsyncIterator[AtelierSide]:
    """A running Atelier with so many accounts, for a block; `settings` win over those of every benchmark."""
    system = Atelier(infra, settings=settings)
    try:
        await asyncio.to_thread(system.start)
        side = AtelierSide(infra, system)
        await side.open(accounts)
        yield side
        await side.close()
    finally:
        await asyncio.to_thread(system.stop)


async def connect(infra: Infra, database: str) -> asyncpg.Connection:
    """A look from outside into the database of a service."""
    return await asyncpg.connect(infra.postgres.dsn(database))


async def post(side: Side, count: int, *, keys: Sequence[str] | None = None) -> Posted:
    """Post `count` jobs over many connections, each of which waits for its answer; accounts take turns."""
    turns = itertools.cycle(keys or side.keys)
    work = iter(range(count))
    latencies: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(_customer(side, work, turns, latencies) for _ in range(CONNECTIONS)))
    return Posted(time.perf_counter() - began, latencies)


async def _customer(side: Side, work: Iterable[int], turns: Iterable[str], latencies: list[float]) -> None:
    async with Connection(side.port) as connection:
        for _, key in zip(work, turns, strict=False):
            began = time.perf_counter()
            await _accepted(connection, side.body, key)
            latencies.append(time.perf_counter() - began)


async def _accepted(connection: Connection, body: bytes, key: str) -> None:
    status, answer = await connection.post("/v1/jobs", body, key=key)
    if status != 202:
        raise RuntimeError(f"POST /v1/jobs answered {status}: {answer[:300].decode()}")


async def in_turn(port: int, body: bytes, *, keys: Iterable[str]) -> list[float]:
    """Post one job per key, each when the one before is done; the milliseconds that the customers waited."""
    times = []
    async with Connection(port) as connection:
        for key in keys:
            began = time.perf_counter()
            status, answer = await connection.post("/v1/jobs", body, key=key, prefer="wait=30")
            times.append((time.perf_counter() - began) * 1000)
            if status != 200:
                raise RuntimeError(f"the job was not done in 30 s: {status} {answer[:300].decode()}")
    return times


async def in_turn_by_books(side: Side, *, keys: Iterable[str]) -> list[float]:
    """The same for whoever tells nobody that a job is done: the books are read every millisecond."""
    times = []
    async with Connection(side.port) as connection:
        for done, key in enumerate(keys, await side.done() + 1):
            began = time.perf_counter()
            await _accepted(connection, side.body, key)
            await until_done(side, done, every=0.001)
            times.append((time.perf_counter() - began) * 1000)
    return times


async def until_done(side: Side, count: int, *, every: float = 0.1) -> float:
    """Wait until `count` jobs are done in all; the moment when that was seen."""
    async with asyncio.timeout(LONGEST_WAIT_SECONDS):
        while await side.done() < count:  # noqa: ASYNC110 - the books are in another process
            await asyncio.sleep(every)
    return time.perf_counter()
