"""A batch that takes long, or cannot be handled now and comes again: it gets further each time."""

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from kit import edge as edges
from kit.database import WriteSession
from kit.edge import SLOW_CHUNK, Edge
from kit.service import Service
from kit.subscriptions import on
from kit.testing import FakeRecord, records
from toy.app import on_mark_made
from toy.events import MarkMade
from toy.reading import counts


def made(number: int) -> list[FakeRecord]:
    return records(*(MarkMade(thing=f"thing-{one}") for one in range(number)))


def outcome(name: str) -> float:
    labels = {"service": "toy", "type": MarkMade.wire_type, "outcome": name}
    return REGISTRY.get_sample_value("atelier_messages_total", labels) or 0.0


async def transactions(toy: Service) -> int:
    """In how many transactions all that was handled so far was handled."""
    async with toy.db.read() as session:
        return await session.scalar(text("SELECT count(DISTINCT xmin::text) FROM inbox")) or 0


class TestComingAgain:
    """A batch that cannot be handled now raises, and whoever brought it brings it again."""

    async def test_what_takes_too_long_gets_through_in_parts(self, toy: Service) -> None:
        done: list[str] = []

        async def slow(_session: WriteSession, events: list[MarkMade]) -> None:
            if len(events) > 100:
                raise TimeoutError("the statement took more than 30 s")
            done.extend(event.thing for event in events)

        edge = Edge(toy.db, service="toy", subscriptions=[on(MarkMade, slow)])
        edge.stopping.set()
        batch = made(400)

        assert await _bring(edge, batch) > 1
        assert sorted(done) == sorted(f"thing-{number}" for number in range(400))

    async def test_an_outage_of_days_changes_nothing(self, toy: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        toy.edge._failures = 100_000
        toy.edge.stopping.set()
        with monkeypatch.context() as patch:
            patch.setattr(toy.db, "write", _away)
            with pytest.raises(ConnectionRefusedError):
                await toy.edge.handle(records(MarkMade(thing="a")))

        await toy.edge.handle(records(MarkMade(thing="a")))
        assert await counts(toy) == {"a": 1}

    async def test_what_is_ignored_is_counted_once(self, toy: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        before = outcome("ignored")
        batch = records(MarkMade(thing="a", weight=0), MarkMade(thing="b"))
        toy.edge.stopping.set()
        with monkeypatch.context() as patch:
            patch.setattr(toy.db, "write", _away)
            with pytest.raises(ConnectionRefusedError):
                await toy.edge.handle(batch)
        await toy.edge.handle(batch)

        assert outcome("ignored") - before == 1

    async def test_what_was_settled_is_left_out_when_the_rest_comes_again(self, toy: Service) -> None:
        failing = [True]

        async def stumble(session: WriteSession, events: list[MarkMade]) -> None:
            if failing and any(event.thing == "thing-25" for event in events):
                failing.clear()
                raise ConnectionResetError
            await on_mark_made(session, events)

        edge = Edge(toy.db, service="toy", subscriptions=[on(MarkMade, stumble)])
        edge.stopping.set()
        edge._chunk = 10
        batch, before = made(40), outcome("duplicate")

        with pytest.raises(ConnectionResetError):
            await edge.handle(batch)
        assert len(await counts(toy)) == 20
        await edge.handle(batch)

        assert await counts(toy) == {f"thing-{number}": 1 for number in range(40)}
        assert outcome("duplicate") == before


class TestChunks:
    """A transaction takes as much at once as it can in good time."""

    async def test_waiting_for_a_connection_makes_it_no_smaller(
        self, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(edges, "SLOW_CHUNK_SECONDS", 0.2)
        for _ in range(3):
            async with contextlib.AsyncExitStack() as taken:
                for _ in range(2 * toy.settings.database_pool_size):
                    await taken.enter_async_context(toy.db.read())
                waiting = asyncio.create_task(toy.edge.handle(made(1)))
                await asyncio.wait([waiting], timeout=0.3)
                assert not waiting.done()
            await waiting
        before = await transactions(toy)

        await toy.edge.handle(made(200))

        assert await transactions(toy) == before + 1

    async def test_slowness_makes_it_smaller_but_not_tiny(self, toy: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(edges, "SLOW_CHUNK_SECONDS", 0.0)
        for _ in range(10):
            await toy.edge.handle(made(1))
        before = await transactions(toy)

        await toy.edge.handle(made(2 * SLOW_CHUNK))

        assert await transactions(toy) == before + 2

    async def test_one_that_became_tiny_grows_while_it_takes_no_longer(
        self, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = itertools.count()  # a second for every transaction, whatever it holds
        monkeypatch.setattr(edges, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
        toy.edge._chunk = 1
        for _ in range(10):
            await toy.edge.handle(made(1))
        before = await transactions(toy)

        await toy.edge.handle(made(2 * SLOW_CHUNK))

        assert await transactions(toy) == before + 2


async def _bring(edge: Edge, batch: Sequence[FakeRecord]) -> int:
    """How often a batch has to be brought until it is handled."""
    for times in range(1, 20):
        with contextlib.suppress(TimeoutError):
            await edge.handle(batch)
            return times
    raise AssertionError("it never got through")


def _away() -> None:
    raise ConnectionRefusedError
