"""Writes that share transactions: who shares, and who bears whose error."""

import asyncio
from collections.abc import Sequence

import pytest
import structlog
from opentelemetry import trace
from sqlalchemy import text

from kit import tracing
from kit.coalescer import Coalescer
from kit.database import WriteSession
from kit.service import Service
from kit.testing import eventually
from toy.reading import counts


class Ledger:
    """Notes marks for things in one statement, and remembers how the transactions were shared."""

    def __init__(self, toy: Service, **options: int) -> None:
        self.batches: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.coalescer = Coalescer[str, str](toy.db, self.apply, service="toy", **options)

    async def apply(self, session: WriteSession, things: Sequence[str]) -> Sequence[str]:
        self.batches.append(list(things))
        await self.open.wait()
        if "short" in things:
            return []
        if "away" in things:
            raise ConnectionResetError("the database is away")
        await session.execute(
            text(
                "INSERT INTO counts SELECT thing, count(*) FROM unnest(CAST(:things AS text[])) AS t(thing)"
                " GROUP BY thing ON CONFLICT (thing) DO UPDATE SET count = counts.count + excluded.count"
            ),
            {"things": [thing if thing != "bad" else None for thing in things]},
        )
        return [thing.upper() for thing in things]

    async def submit(self, *things: str) -> list[str | BaseException]:
        return await asyncio.gather(*(self.coalescer.submit(thing) for thing in things), return_exceptions=True)

    async def submit_together(self, *things: str) -> list[str | BaseException]:
        """Let a first transaction run while ``things`` gather behind it."""
        self.open.clear()
        first = asyncio.create_task(self.coalescer.submit("first"))
        await eventually(lambda: self.batches)
        rest = asyncio.create_task(self.submit(*things))
        await eventually(lambda: len(self.coalescer._waiting) == len(things))
        self.open.set()
        assert await first == "FIRST"
        return await rest


@pytest.fixture
def ledger(toy: Service) -> Ledger:
    return Ledger(toy)


class TestSharing:
    async def test_writes_that_arrive_during_a_transaction_share_the_next_one(self, ledger: Ledger) -> None:
        results = await ledger.submit_together("a", "b", "c")

        assert ledger.batches == [["first"], ["a", "b", "c"]]
        assert results == ["A", "B", "C"]

    async def test_a_batch_has_a_limit(self, toy: Service) -> None:
        ledger = Ledger(toy, max_batch=2)

        results = await ledger.submit_together(*"abcde")

        assert ledger.batches == [["first"], ["a", "b"], ["c", "d"], ["e"]]
        assert results == list("ABCDE")

    async def test_each_of_many_writes_is_durable_once_it_returns(self, toy: Service, ledger: Ledger) -> None:
        things = [f"thing-{number % 7}" for number in range(300)]

        results = await ledger.submit(*things)

        assert results == [thing.upper() for thing in things]
        assert sum((await counts(toy)).values()) == 300
        assert len(ledger.batches) < 30


class TestContext:
    async def test_a_transaction_for_many_is_told_as_of_none_of_them(self, toy: Service) -> None:
        told: list[tuple[dict[str, str], bool]] = []

        async def apply(_session: WriteSession, things: Sequence[str]) -> Sequence[str]:
            told.append((structlog.contextvars.get_contextvars(), trace.get_current_span().get_span_context().is_valid))
            return things

        async def ask(coalescer: Coalescer[str, str], thing: str) -> str:
            with tracing.span("request", None), structlog.contextvars.bound_contextvars(request_id=f"req_{thing}"):
                return await coalescer.submit(thing)

        with structlog.contextvars.bound_contextvars(service="toy"):
            coalescer = Coalescer[str, str](toy.db, apply, service="toy")
        assert await asyncio.gather(*(ask(coalescer, thing) for thing in "abc")) == ["a", "b", "c"]

        assert told == [({"service": "toy"}, False)]


class TestErrors:
    async def test_a_bad_write_fails_alone(self, toy: Service, ledger: Ledger) -> None:
        a, bad, b = await ledger.submit_together("a", "bad", "b")

        assert (a, b) == ("A", "B")
        assert "null value" in str(bad)
        assert await counts(toy) == {"first": 1, "a": 1, "b": 1}

    async def test_a_server_that_is_away_is_told_to_all_at_once(self, ledger: Ledger) -> None:
        results = await ledger.submit_together("a", "away", "b")

        assert [type(result) for result in results] == [ConnectionResetError] * 3
        assert ledger.batches == [["first"], ["a", "away", "b"]]

    async def test_a_caller_that_gives_up_leaves_the_others_alone(self, toy: Service, ledger: Ledger) -> None:
        ledger.open.clear()
        first = asyncio.create_task(ledger.coalescer.submit("first"))
        await eventually(lambda: ledger.batches)
        gone, last = (asyncio.create_task(ledger.coalescer.submit(name)) for name in ("gone", "last"))
        await eventually(lambda: len(ledger.coalescer._waiting) == 2)
        gone.cancel()
        await asyncio.wait([gone])
        ledger.open.set()

        assert await asyncio.gather(first, last) == ["FIRST", "LAST"]
        assert await counts(toy) == {"first": 1, "last": 1}

    async def test_results_that_do_not_match_the_writes_are_an_error_and_nothing_is_kept(
        self, toy: Service, ledger: Ledger
    ) -> None:
        a, short = await ledger.submit_together("a", "short")

        assert a == "A"
        assert isinstance(short, ValueError)
        assert await counts(toy) == {"first": 1, "a": 1}
