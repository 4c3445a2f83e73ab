"""Places that requests take turns in."""

import asyncio
import random

import pytest

from kit.places import Places
from kit.testing import eventually


class Visitors:
    """People who come, stay until they are sent away, and are remembered in the order in which they got a place."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.served: list[str] = []
        self._leaving = asyncio.Event()

    def come(self, *names: str) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._visit(name)) for name in names]

    async def _visit(self, name: str) -> None:
        async with self._places.place(name):
            self.served.append(name)
            await self._leaving.wait()

    def send_away(self) -> None:
        self._leaving.set()


async def others_go_on() -> None:
    """Every task that can go on does so once."""
    went_round = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(went_round.set_result, None)
    await went_round


async def test_a_lone_name_may_have_all_places_and_no_more() -> None:
    visitors = Visitors(Places(3))

    tasks = visitors.come(*["a"] * 5)
    await eventually(lambda: len(visitors.served) == 3)
    visitors.send_away()
    await asyncio.gather(*tasks)

    assert visitors.served == ["a"] * 5


async def test_names_take_turns_however_many_wait_under_one() -> None:
    visitors = Visitors(Places(1))

    tasks = visitors.come(*["crowd"] * 200)
    await eventually(lambda: len(visitors.served) == 1)
    tasks += visitors.come("b", "b", "c")
    await others_go_on()
    visitors.send_away()
    await asyncio.gather(*tasks)

    assert visitors.served[:6] == ["crowd", "crowd", "b", "c", "crowd", "b"]
    assert len(visitors.served) == 203


async def test_who_gives_up_is_passed_over() -> None:
    places = Places(1)
    visitors = Visitors(places)
    first, second, third = visitors.come("first", "second", "third")
    await eventually(lambda: visitors.served == ["first"])

    second.cancel()
    visitors.send_away()
    await asyncio.gather(first, third)

    assert visitors.served == ["first", "third"]
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_a_place_that_is_given_to_who_gives_up_in_the_same_moment_goes_on() -> None:
    places = Places(1)
    async with asyncio.timeout(10):
        async with places.place("a"):
            late = asyncio.create_task(_pass_through(places, "b"))
            await others_go_on()
        late.cancel()
        await _pass_through(places, "c")


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_is_given_up_no_place_is_lost_and_none_is_given_twice(seed: int) -> None:
    draw, places, inside, most = random.Random(seed), Places(3), 0, 0

    async def visit(name: str) -> None:
        nonlocal inside, most
        async with places.place(name):
            inside += 1
            most = max(most, inside)
            try:
                for _ in range(draw.randrange(3)):
                    await others_go_on()
            finally:
                inside -= 1

    tasks = []
    for _ in range(200):
        tasks.append(asyncio.create_task(visit(draw.choice("abc"))))
        if draw.random() < 0.4:
            draw.choice(tasks).cancel()
        if draw.random() < 0.5:
            await others_go_on()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= 3
        async with places.place("a"), places.place("b"), places.place("c"):
            pass


async def _pass_through(places: Places, name: str) -> None:
    async with places.place(name):
        pass
