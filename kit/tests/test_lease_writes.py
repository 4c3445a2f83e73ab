"""What work may read of its row, and write to it for as long as it has the lease: against a real PostgreSQL."""

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text

from kit.leases import Lease, LeaseLostError, LeaseWorker, extend, finished, retry_after, write_held
from kit.service import Service
from kit.testing import eventually
from toy.models import chores


async def take(toy: Service, *, born: str = "") -> Lease:
    """The lease of a row that is due, or of one that is ``born`` leased after a statement of its transaction."""
    taken: list[Lease] = []

    async def keep(lease: Lease) -> None:
        taken.append(lease)

    worker = LeaseWorker(toy.db, chores, keep, service="toy", lease_seconds=30.0, poll_seconds=60.0)
    task = asyncio.create_task(worker.run())
    await eventually(lambda: worker._accepting and not worker._reserved)
    if born:
        async with toy.db.write() as session:
            await session.execute(text(born))
            await worker.insert(session, [{"id": "a"}])
    await eventually(lambda: taken)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return taken[0]


async def change(toy: Service, statement: str) -> None:
    async with toy.db.write() as session:
        await session.execute(text(statement))


@pytest.fixture
async def lease(toy: Service) -> Lease:
    async with toy.db.write() as session:
        await session.execute(insert(chores).values(id="a", due_at=func.now()))
    return await take(toy)


async def row_of(toy: Service, *columns: Any) -> Any:
    async with toy.db.read() as session:
        return (await session.execute(select(chores, *columns))).one()


class TestExtend:
    async def test_a_lease_that_is_extended_ends_later(self, toy: Service, lease: Lease) -> None:
        async with toy.db.write() as session:
            await extend(session, chores, lease, 3600)

        left = func.extract("epoch", chores.c.leased_until - func.now()).label("left")
        assert 3500 < (await row_of(toy, left)).left <= 3600

    async def test_a_lease_that_was_lost_stays_lost(self, toy: Service, lease: Lease) -> None:
        await change(toy, "UPDATE chores SET leased_until = now()")
        before = await row_of(toy)

        with pytest.raises(LeaseLostError):
            async with toy.db.write() as session:
                await extend(session, chores, lease, 3600)

        assert await row_of(toy) == before


class TestRetryAfter:
    async def test_a_row_that_is_given_back_counts_how_often_it_was_taken(self, toy: Service, lease: Lease) -> None:
        async with toy.db.write() as session:
            await write_held(session, chores, lease, retry_after(0))

        assert (await take(toy)).attempts == 2

    async def test_unless_this_time_does_not_count(self, toy: Service, lease: Lease) -> None:
        async with toy.db.write() as session:
            await write_held(session, chores, lease, retry_after(0, attempts=lease.attempts - 1))

        assert (await take(toy)).attempts == 1


class TestWriteHeld:
    async def test_what_was_written_can_be_asked_for(self, toy: Service, lease: Lease) -> None:
        async with toy.db.write() as session:
            done = {"done_by": func.upper("me"), **finished()}
            written = await write_held(session, chores, lease, done, chores.c.done_by)

        assert written.done_by == "ME"


class TestBorn:
    async def test_a_born_row_is_read_like_one_of_the_database(self, toy: Service) -> None:
        row = (await take(toy, born="SELECT 1")).row

        assert (row.id, row.done_by) == ("a", None)
        with pytest.raises(AttributeError, match="done_bye"):
            _ = row.done_bye

    async def test_a_born_lease_ends_for_its_worker_no_later_than_in_the_database(self, toy: Service) -> None:
        """Also when the transaction had been open for long before the row was inserted."""
        lease = await take(toy, born="SELECT pg_sleep(0.3)")

        left = func.extract("epoch", chores.c.leased_until - func.clock_timestamp()).label("left")
        in_database = float((await row_of(toy, left)).left)
        assert lease.until - time.monotonic() <= in_database
