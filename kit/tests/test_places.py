"""Places that names take turns in: who gets the next one, and that none is ever lost or given twice."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from kit.places import NoPlaceError, Places, Turns
from kit.testing import eventually

PATIENCE = 60.0


class Visitor:
    """Takes a place and holds it until it is told to leave."""

    def __init__(self, places: Places, name: str, patience: float = PATIENCE) -> None:
        self.inside, self.leave = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._visit(places, name, patience))

    async def _visit(self, places: Places, name: str, patience: float) -> None:
        async with places.place(name, patience=patience):
            self.inside.set()
            await self.leave.wait()

    async def end(self) -> None:
        self.leave.set()
        await self.task


@pytest.fixture
async def visit() -> AsyncIterator[type[Visitor]]:
    """Visitors; those who are left at the end of a test leave."""
    async with AsyncExitStack() as stack:

        class Watched(Visitor):
            def __init__(self, *arguments) -> None:
                super().__init__(*arguments)
                stack.callback(self.task.cancel)

        yield Watched


async def rounds(count: int) -> None:
    """So many rounds of the event loop."""
    for _ in range(count):
        loop = asyncio.get_running_loop()
        passed = loop.create_future()
        loop.call_soon(passed.set_result, None)
        await passed


async def settled() -> None:
    """Whoever can go on without anybody's help has done so."""
    await rounds(10)


async def all_are_free(places: Places, count: int) -> bool:
    """So many names hold a place each at the same time."""
    async with AsyncExitStack() as stack:
        for number in range(count):
            await stack.enter_async_context(places.place(f"new {number}", patience=0.0))
    return True


class TestShare:
    async def test_the_only_place_is_anybody_s(self, visit) -> None:
        places = Places(1, shared=True)
        first, second = visit(places, "a"), visit(places, "a")
        await settled()

        assert (first.inside.is_set(), second.inside.is_set()) == (True, False)
        await first.end()
        await eventually(second.inside.is_set)

    @pytest.mark.parametrize(("count", "share"), [(1, 1), (2, 1), (3, 2), (4, 2), (8, 4)])
    async def test_one_name_leaves_as_many_as_it_holds(self, visit, count, share) -> None:
        places = Places(count, shared=True)
        visitors = [visit(places, "a") for _ in range(count + 1)]
        await settled()

        assert sum(visitor.inside.is_set() for visitor in visitors) == share

    async def test_what_one_leaves_free_another_takes_at_once(self, visit) -> None:
        places = Places(2, shared=True)
        greedy = [visit(places, "a") for _ in range(3)]
        await settled()
        other = visit(places, "b")

        await eventually(other.inside.is_set)
        assert [visitor.inside.is_set() for visitor in greedy] == [True, False, False]

    async def test_one_s_share_grows_when_others_leave(self, visit) -> None:
        places = Places(3, shared=True)
        others = [visit(places, "b"), visit(places, "c")]
        await settled()
        mine = [visit(places, "a"), visit(places, "a")]
        await settled()
        assert [visitor.inside.is_set() for visitor in mine] == [True, False]

        for other in others:
            await other.end()

        await eventually(mine[1].inside.is_set)


class TestOrder:
    async def test_a_lone_name_may_have_all_that_are_not_shared(self, visit) -> None:
        places = Places(3)
        visitors = [visit(places, "a") for _ in range(4)]
        await settled()

        assert [visitor.inside.is_set() for visitor in visitors] == [True, True, True, False]

    async def test_behind_two_hundred_of_one_name_another_is_next(self, visit) -> None:
        places = Places(1)
        crowd = [visit(places, "crowd") for _ in range(200)]
        other = visit(places, "other")
        await settled()

        await crowd[0].end()

        await eventually(other.inside.is_set)

    async def test_one_name_is_served_in_order(self, visit) -> None:
        places, order = Places(1), []
        visitors = [visit(places, "a") for _ in range(4)]
        for number, visitor in enumerate(visitors):
            await visitor.inside.wait()
            order.append(number)
            assert not any(later.inside.is_set() for later in visitors[number + 1 :])
            await visitor.end()

        assert order == [0, 1, 2, 3]

    async def test_next_is_who_had_one_the_longest_ago_however_long_another_waits(self, visit) -> None:
        places = Places(1)
        first, *hostile = [visit(places, "a") for _ in range(4)]
        await settled()
        served, others = [], {"b": visit(places, "b"), "c": visit(places, "c")}
        await settled()
        await first.end()
        waiting = {**others, "a": hostile[0]}

        while waiting:
            await eventually(lambda: any(visitor.inside.is_set() for visitor in waiting.values()))
            (name,) = [name for name, visitor in waiting.items() if visitor.inside.is_set()]
            served.append(name)
            await waiting.pop(name).end()

        assert served == ["b", "c", "a"]


class TestPatience:
    async def test_whoever_waits_too_long_gives_up(self, visit) -> None:
        places = Places(1)
        holder = visit(places, "a")
        await settled()

        with pytest.raises(NoPlaceError):
            async with places.place("b", patience=0.01):
                pass

        await holder.end()
        assert await all_are_free(places, 1)

    async def test_patience_is_for_the_place_alone(self) -> None:
        async with Places(1).place("a", patience=0.0):
            await settled()

    async def test_an_error_inside_frees_the_place(self) -> None:
        places = Places(1)

        with pytest.raises(ValueError, match="broken"):
            async with places.place("a", patience=PATIENCE):
                raise ValueError("broken")

        assert await all_are_free(places, 1)

    @pytest.mark.parametrize("steps", range(6))
    async def test_who_is_cancelled_around_the_moment_of_getting_one_loses_none(self, visit, steps) -> None:
        places = Places(1)
        holder = visit(places, "a")
        await settled()
        cancelled, behind = visit(places, "b"), visit(places, "c")
        await settled()
        holder.leave.set()

        await rounds(steps)
        cancelled.task.cancel()

        await eventually(behind.inside.is_set)
        await behind.end()
        await asyncio.gather(cancelled.task, return_exceptions=True)
        assert await all_are_free(places, 1)

    async def test_nobody_is_remembered_who_is_gone(self, visit) -> None:
        places = Places(2)
        for number in range(5):
            await visit(places, f"name {number}").end()

        assert not places._held
        assert not places._lines

    @pytest.mark.parametrize("shared", [False, True])
    @pytest.mark.parametrize("seed", range(10))
    async def test_whatever_is_given_up_none_is_lost_and_none_is_given_twice(self, seed: int, shared: bool) -> None:
        draw, places, inside, most = random.Random(seed), Places(3, shared=shared), 0, 0

        async def visit_for_a_while(name: str) -> None:
            nonlocal inside, most
            async with places.place(name, patience=PATIENCE):
                inside += 1
                most = max(most, inside)
                try:
                    await rounds(draw.randrange(3))
                finally:
                    inside -= 1

        tasks = []
        for _ in range(200):
            tasks.append(asyncio.create_task(visit_for_a_while(draw.choice("abc"))))
            if draw.random() < 0.4:
                draw.choice(tasks).cancel()
            await rounds(draw.randrange(2))
        await asyncio.gather(*tasks, return_exceptions=True)

        assert most <= 3
        assert await all_are_free(places, 3)


class TestTurns:
    def test_one_name_has_so_many_and_one_more_is_refused(self) -> None:
        turns = Turns(2, lambda most: ValueError(f"{most} at most"))

        with turns.turn("a"), turns.turn("a"), turns.turn("b"):
            assert (turns.are_taken("a"), turns.are_taken("b")) == (True, False)
            with pytest.raises(ValueError, match="2 at most"), turns.turn("a"):
                pass

        assert not turns.are_taken("a")
        assert not turns._running

    def test_an_error_inside_ends_the_turn(self) -> None:
        turns = Turns(1, ValueError)

        with pytest.raises(KeyError), turns.turn("a"):
            raise KeyError

        assert not turns.are_taken("a")
