"""Leased work against a real PostgreSQL: a row is worked on by one, and a dead worker loses its lease, nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update

from kit import leases
from kit.database import WriteSession
from kit.leases import Lease, LeaseWorker, finished, now_plus, write_held
from kit.service import Service
from kit.testing import eventually
from toy.models import chores


def rests(worker: LeaseWorker) -> bool:
    """Whether it has places for rows that are born leased: a claim that is under way keeps all of them."""
    return worker._accepting and not worker._reserved


@asynccontextmanager
async def running(*workers: LeaseWorker) -> AsyncIterator[None]:
    """Run workers like a service does; what still works at the end is cancelled."""
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(worker.drain(0) for worker in workers))


class Hand:
    """Does chores and remembers which; ``hold`` keeps them in work until it is set."""

    def __init__(self, toy: Service, name: str = "hand", **options: Any) -> None:
        self.toy = toy
        self.name = name
        self.started: list[str] = []
        self.written: list[str] = []
        self.at_once = self.peak = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.fails: Callable[[Lease], Exception | None] = lambda _: None
        options = {"lease_seconds": 30.0, "poll_seconds": 0.05, "retry_seconds": 0.05, "concurrency": 4} | options
        self.worker = LeaseWorker(toy.db, chores, self.work, service="toy", **options)

    async def work(self, lease: Lease) -> None:
        self.started.append(lease.id)
        self.at_once += 1
        self.peak = max(self.peak, self.at_once)
        try:
            await self.hold.wait()
            if error := self.fails(lease):
                raise error
            await self.finish(lease)
        finally:
            self.at_once -= 1

    async def finish(self, lease: Lease) -> None:
        async with self.toy.db.write() as session:
            await write_held(session, chores, lease, {"done_by": self.name, **finished()})
        self.written.append(lease.id)


async def add(toy: Service, *rows: dict[str, Any]) -> None:
    async with toy.db.write() as session:
        for row in rows:
            await session.execute(insert(chores).values(**{"due_at": func.now(), **row}))


async def done(toy: Service) -> dict[str, str]:
    async with toy.db.read() as session:
        rows = await session.execute(select(chores).where(chores.c.done_by.is_not(None)))
        return {row.id: row.done_by for row in rows}


async def row_of(toy: Service, identifier: str) -> Any:
    async with toy.db.read() as session:
        return (await session.execute(select(chores).where(chores.c.id == identifier))).one()


async def end_leases(toy: Service) -> None:
    """What the passing of time does."""
    async with toy.db.write() as session:
        await session.execute(update(chores).where(chores.c.leased_until.is_not(None)).values(leased_until=func.now()))


class TestAttempts:
    async def test_a_row_that_failed_for_months_is_tried_on_and_holds_up_no_other(self, toy: Service) -> None:
        most = leases.MAX_ATTEMPTS
        await add(toy, {"id": "hopeless", "attempts": most - 1, "priority": 0}, {"id": "next", "priority": 1})
        hand = Hand(toy)
        hand.fails = lambda lease: ValueError("still wrong") if lease.id == "hopeless" else None

        async with running(hand.worker):
            await eventually(lambda: hand.written == ["next"])
            await eventually(lambda: _is_free(toy, "hopeless"))
            async with toy.db.write() as session:
                await session.execute(update(chores).where(chores.c.id == "hopeless").values(due_at=func.now()))
            await eventually(lambda: hand.started.count("hopeless") == 2)
            await eventually(lambda: _is_free(toy, "hopeless"))

        assert (await row_of(toy, "hopeless")).attempts == most


async def _is_free(toy: Service, identifier: str) -> bool:
    return (await row_of(toy, identifier)).lease_token is None


class TestClaim:
    async def test_two_workers_share_rows_and_each_row_is_worked_on_once(self, toy: Service) -> None:
        names = [f"chore-{number}" for number in range(100)]
        await add(toy, *({"id": name} for name in names))
        one, two = Hand(toy, "one"), Hand(toy, "two")

        async with running(one.worker, two.worker):
            await eventually(lambda: len(one.written) + len(two.written) == len(names))

        assert sorted(one.started + two.started) == sorted(names)
        assert set((await done(toy)).values()) == {"one", "two"}

    async def test_rows_are_taken_by_priority_then_turn_then_age(self, toy: Service) -> None:
        await add(
            toy,
            {"id": "third", "priority": 1, "turn": 2},
            {"id": "first", "priority": 0, "turn": 9},
            {"id": "second", "priority": 1, "turn": 1},
            {"id": "fifth", "priority": 2, "due_at": now_plus(-1)},
            {"id": "fourth", "priority": 2, "due_at": now_plus(-5)},
            {"id": "not yet", "due_at": now_plus(3600)},
            {"id": "nothing due", "due_at": None},
        )
        hand = Hand(toy, concurrency=1)

        async with running(hand.worker):
            await eventually(lambda: len(hand.written) == 5)

        assert hand.started == ["first", "second", "third", "fourth", "fifth"]

    async def test_no_more_than_the_cap_is_in_work_at_once(self, toy: Service) -> None:
        await add(toy, *({"id": f"chore-{number}"} for number in range(20)))
        hand = Hand(toy, concurrency=3)
        hand.hold.clear()

        async with running(hand.worker):
            await eventually(lambda: hand.at_once == 3)
            assert await _leased(toy) == 3
            hand.hold.set()
            await eventually(lambda: len(hand.written) == 20)

        assert hand.peak == 3

    async def test_nobody_s_share_is_larger_than_what_it_leaves(self, toy: Service) -> None:
        hand = Hand(toy, concurrency=8, share=chores.c.turn)
        hand.hold.clear()
        taken = [0, 0, 0, 0]

        async with running(hand.worker):
            for share, wanted in enumerate((4, 2, 1, 1)):
                await add(toy, *({"id": f"{share}-{number}", "turn": share} for number in range(20)))
                taken[share] = wanted
                await eventually(lambda: [sum(key[0] == str(n) for key in hand.started) for n in range(4)] == taken)
            hand.hold.set()
            await eventually(lambda: len(hand.written) == 80)

        assert hand.peak == 8

    @pytest.mark.parametrize("refused", [("enable_hashjoin", "enable_mergejoin"), ("enable_nestloop",)])
    async def test_a_claim_takes_no_more_than_it_wants_whatever_the_plan(
        self, toy: Service, refused: tuple[str, ...]
    ) -> None:
        await add(toy, *({"id": f"chore-{number}"} for number in range(50)))
        async with toy.db.write() as session:
            for plan in refused:
                await session.execute(text(f'ALTER DATABASE "{toy.db.url.database}" SET {plan} = off'))
        await toy.db.close()
        hand = Hand(toy, concurrency=2)
        hand.hold.clear()

        async with running(hand.worker):
            await eventually(lambda: hand.at_once == 2)
            assert await _leased(toy) == 2


class TestBorn:
    async def test_a_born_row_starts_when_its_transaction_commits_without_a_claim(self, toy: Service) -> None:
        hand = Hand(toy, poll_seconds=60.0)
        async with running(hand.worker):
            await eventually(lambda: rests(hand.worker))
            async with toy.db.write() as session:
                await hand.worker.insert(session, [{"id": "a"}, {"id": "b"}])
                assert hand.started == []
            await eventually(lambda: len(hand.written) == 2)

        assert await done(toy) == {"a": "hand", "b": "hand"}
        assert (await row_of(toy, "a")).attempts == 1

    async def test_a_row_that_is_rolled_back_never_starts_and_gives_its_place_back(self, toy: Service) -> None:
        hand = Hand(toy, concurrency=1, poll_seconds=60.0)
        async with running(hand.worker):
            await eventually(lambda: rests(hand.worker))
            with pytest.raises(RuntimeError, match="refused"):  # noqa: PT012
                async with toy.db.write() as session:
                    await hand.worker.insert(session, [{"id": "a"}])
                    raise RuntimeError("refused")
            async with toy.db.write() as session:
                await hand.worker.insert(session, [{"id": "b"}])
            await eventually(lambda: hand.written == ["b"])

        assert hand.started == ["b"]

    async def test_what_does_not_fit_is_due_for_anyone(self, toy: Service) -> None:
        hand, other = Hand(toy, "hand", concurrency=2, poll_seconds=60.0), Hand(toy, "other")
        hand.hold.clear()
        async with running(hand.worker):
            await eventually(lambda: rests(hand.worker))
            async with toy.db.write() as session:
                await hand.worker.insert(session, [{"id": f"chore-{number}"} for number in range(5)])
            await eventually(lambda: hand.at_once == 2)
            async with running(other.worker):
                await eventually(lambda: len(other.written) == 3)
            hand.hold.set()
            await eventually(lambda: len(hand.written) == 2)

        assert hand.started == ["chore-0", "chore-1"]


class TestLoss:
    async def test_work_whose_lease_was_taken_over_writes_nothing(self, toy: Service) -> None:
        await add(toy, {"id": "a"})
        slow, quick = Hand(toy, "slow", concurrency=1), Hand(toy, "quick")  # slow cannot take the row again itself
        slow.hold.clear()
        async with running(slow.worker):
            await eventually(lambda: slow.at_once == 1)
            await end_leases(toy)
            async with running(quick.worker):
                await eventually(lambda: quick.written == ["a"])
            slow.hold.set()
            await eventually(lambda: slow.at_once == 0)

        assert slow.written == []
        assert await done(toy) == {"a": "quick"}

    async def test_work_that_overruns_its_lease_is_cancelled_and_done_again(self, toy: Service) -> None:
        await add(toy, {"id": "a"})
        hand = Hand(toy, lease_seconds=0.3)
        hand.hold.clear()
        async with running(hand.worker):
            await eventually(lambda: len(hand.started) == 2)
            hand.hold.set()
            await eventually(lambda: hand.written == ["a"])

        assert hand.peak == 1
        assert (await row_of(toy, "a")).attempts >= 2

    async def test_the_row_of_a_killed_worker_comes_back_when_its_lease_ends(self, toy: Service) -> None:
        await add(toy, {"id": "a"})
        killed, other = Hand(toy, "killed"), Hand(toy, "other")
        killed.hold.clear()
        async with running(killed.worker):
            await eventually(lambda: killed.at_once == 1)
        async with running(other.worker):
            await end_leases(toy)
            await eventually(lambda: other.written == ["a"])

        assert await done(toy) == {"a": "other"}
        assert (await row_of(toy, "a")).attempts == 2


class TestRetry:
    async def test_work_that_fails_is_given_back_with_growing_pauses(self, toy: Service) -> None:
        await add(toy, {"id": "a"})
        hand = Hand(toy, retry_seconds=0.1)
        pauses: list[float] = []
        ended = time.monotonic()

        def fails(lease: Lease) -> Exception | None:
            nonlocal ended
            pauses.append(time.monotonic() - ended)
            ended = time.monotonic()
            return ValueError("not today") if lease.attempts < 4 else None

        hand.fails = fails
        async with running(hand.worker):
            await eventually(lambda: hand.written == ["a"])

        assert (await row_of(toy, "a")).attempts == 4
        assert [after >= least for after, least in zip(pauses[1:], (0.1, 0.2, 0.4), strict=True)] == [True] * 3

    async def test_work_that_fails_while_the_database_is_away_is_given_back_once_it_is_there(
        self, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await add(toy, {"id": "a"})
        hand = Hand(toy, lease_seconds=60.0)
        refused: list[str] = []
        write = toy.db.write

        @asynccontextmanager
        async def away_for_a_moment() -> AsyncIterator[WriteSession]:
            if hand.started and len(refused) < 3:
                refused.append(hand.started[-1])
                raise ConnectionResetError("gone")
            async with write() as session:
                yield session

        monkeypatch.setattr(toy.db, "write", away_for_a_moment)
        async with running(hand.worker):
            await eventually(lambda: hand.written == ["a"])

        assert hand.started == ["a", "a"]

    async def test_a_timeout_inside_the_work_is_a_failure_and_not_the_end_of_the_lease(self, toy: Service) -> None:
        await add(toy, {"id": "a"})
        hand = Hand(toy, lease_seconds=60.0)
        hand.fails = lambda lease: TimeoutError("the provider is slow") if lease.attempts == 1 else None

        async with running(hand.worker):
            await eventually(lambda: hand.written == ["a"])

    async def test_a_database_that_fails_for_a_moment_does_not_end_the_worker(
        self, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hand = Hand(toy)
        failures: list[Exception] = []
        claim = hand.worker._claim

        async def fails_twice() -> int:
            if len(failures) < 2:
                failures.append(ConnectionResetError("gone") if failures else RuntimeError("a bug"))
                raise failures[-1]
            return await claim()

        monkeypatch.setattr(hand.worker, "_claim", fails_twice)
        await add(toy, {"id": "a"})
        async with running(hand.worker):
            await eventually(lambda: hand.written == ["a"])


class TestStop:
    async def test_running_work_is_finished_and_nothing_new_is_begun(self, toy: Service) -> None:
        await add(toy, {"id": "a"}, {"id": "b"})
        hand = Hand(toy, concurrency=1)
        hand.hold.clear()
        running_worker = asyncio.create_task(hand.worker.run())
        await eventually(lambda: hand.at_once == 1)
        running_worker.cancel()
        await asyncio.gather(running_worker, return_exceptions=True)

        draining = asyncio.create_task(hand.worker.drain(10))
        hand.hold.set()
        await draining

        assert hand.written == hand.started == ["a"]
        assert (await row_of(toy, "b")).lease_token is None

    async def test_work_that_takes_too_long_is_cancelled_and_keeps_its_lease_until_it_ends(self, toy: Service) -> None:
        await add(toy, {"id": "a"})
        hand = Hand(toy)
        hand.hold.clear()
        running_worker = asyncio.create_task(hand.worker.run())
        await eventually(lambda: hand.at_once == 1)
        running_worker.cancel()
        await asyncio.gather(running_worker, return_exceptions=True)

        await hand.worker.drain(0.05)

        assert hand.at_once == 0
        row = await row_of(toy, "a")
        assert row.done_by is None
        assert row.lease_token is not None

    async def test_rows_inserted_while_stopping_are_left_to_others(self, toy: Service) -> None:
        hand, other = Hand(toy, "hand"), Hand(toy, "other")
        async with running(hand.worker):
            await eventually(lambda: hand.worker._accepting)
        async with toy.db.write() as session:
            await hand.worker.insert(session, [{"id": "a"}])
        async with running(other.worker):
            await eventually(lambda: other.written == ["a"])

        assert hand.started == []


def test_the_columns_and_the_index_are_those_that_claims_use() -> None:
    names = {column.name for column in leases.lease_columns()}
    assert names <= {column.name for column in chores.columns}
    assert {"chores_due"} == {index.name for index in chores.indexes}


async def _leased(toy: Service) -> int:
    async with toy.db.read() as session:
        query = select(func.count()).select_from(chores).where(chores.c.lease_token.is_not(None))
        return int((await session.execute(query)).scalar_one())
