"""Leased work that has less room at times, as its caller tells: against a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.leases import Lease, LeaseWorker, finished, write_held
from kit.service import Service
from kit.testing import eventually
from toy.models import chores

CONCURRENCY = 4


class Hand:
    """Does chores while it has places; what it has begun lasts until ``hold`` is set."""

    def __init__(self, toy: Service, *, places: int) -> None:
        self.toy = toy
        self.places = places
        self.asked = 0
        self.started: list[str] = []
        self.hold = asyncio.Event()
        self.worker = LeaseWorker(
            toy.db,
            chores,
            self.work,
            service="toy",
            concurrency=CONCURRENCY,
            lease_seconds=30.0,
            poll_seconds=0.02,
            places=self.tell,
        )

    def tell(self) -> int:
        self.asked += 1
        return self.places

    async def work(self, lease: Lease) -> None:
        self.started.append(lease.id)
        await self.hold.wait()
        async with self.toy.db.write() as session:
            await write_held(session, chores, lease, finished())

    async def asks_again(self) -> None:
        asked = self.asked
        await eventually(lambda: self.asked >= asked + 3)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.worker.run())
        try:
            await eventually(lambda: self.worker._accepting)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.worker.drain(0)


async def add(toy: Service, count: int) -> None:
    async with toy.db.write() as session:
        await session.execute(insert(chores).values(due_at=func.now()), [{"id": f"due-{n}"} for n in range(count)])


async def leased(toy: Service) -> int:
    async with toy.db.read() as session:
        query = select(func.count()).where(chores.c.lease_token.is_not(None))
        return (await session.execute(query)).scalar_one()


class TestPlaces:
    async def test_what_is_due_without_a_place_stays_due_and_is_taken_when_there_is_one(self, toy: Service) -> None:
        await add(toy, 6)
        hand = Hand(toy, places=0)
        async with hand.running():
            await hand.asks_again()
            assert await leased(toy) == 0
            hand.places = 1
            await eventually(lambda: len(hand.started) == 1)
            await hand.asks_again()
            assert await leased(toy) == 1
            hand.places = 100
            await eventually(lambda: len(hand.started) == CONCURRENCY)
            await hand.asks_again()
            assert await leased(toy) == CONCURRENCY
            hand.places = -1
            hand.hold.set()
            await eventually(lambda: not hand.worker._running)
            await hand.asks_again()

            assert len(hand.started) == CONCURRENCY

    async def test_what_is_inserted_without_a_place_is_due_for_anyone(self, toy: Service) -> None:
        hand, other = Hand(toy, places=1), Hand(toy, places=100)
        async with hand.running():
            async with toy.db.write() as session:
                await hand.worker.insert(session, [{"id": "a", "turn": 1}, {"id": "b", "turn": 2}])
            hand.places = -1
            async with toy.db.write() as session:
                await hand.worker.insert(session, [{"id": "c"}])
            await hand.asks_again()
            assert hand.started == ["a"]
            async with other.running():
                await eventually(lambda: sorted(other.started) == ["b", "c"])

    async def test_what_is_inserted_while_a_claim_commits_finds_its_places_taken(self, toy: Service) -> None:
        await add(toy, CONCURRENCY)
        hand = Hand(toy, places=100)
        committing, go_on = asyncio.Event(), asyncio.Event()

        async def hold_the_claim(_: AsyncSession) -> None:
            if not committing.is_set():
                committing.set()
                await go_on.wait()

        toy.db.before_commit(hold_the_claim)
        async with hand.running():
            await committing.wait()
            async with toy.db.write() as session:
                await hand.worker.insert(session, [{"id": f"born-{n}"} for n in range(CONCURRENCY)])
            go_on.set()
            await eventually(lambda: len(hand.started) >= CONCURRENCY)
            await hand.asks_again()
            assert sorted(hand.started) == [f"due-{n}" for n in range(CONCURRENCY)]
            hand.hold.set()
            await eventually(lambda: len(hand.started) == 2 * CONCURRENCY)
