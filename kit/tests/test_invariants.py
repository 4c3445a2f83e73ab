"""Invariants: what contradicts them is found, counted and told."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import structlog
from prometheus_client import REGISTRY
from sqlalchemy import text

from kit import database, invariants
from kit.database import Database
from kit.invariants import KERNEL, Invariant
from kit.service import Service
from kit.testing import eventually, records
from toy.events import MarkErased, MarkMade


async def execute(toy: Service, statement: str) -> None:
    async with toy.db.write() as session:
        await session.execute(text(statement))


def violations(process: str = "toy") -> float | None:
    labels = {"service": process, "invariant": "counts_are_positive"}
    return REGISTRY.get_sample_value("atelier_invariant_violations", labels)


def checked(invariant: str, process: str = "toy") -> float:
    labels = {"service": process, "invariant": invariant}
    return REGISTRY.get_sample_value("atelier_invariant_checked_timestamp_seconds", labels) or 0.0


@asynccontextmanager
async def watching(db: Database, *facts: Invariant, process: str = "toy") -> AsyncIterator[None]:
    """Watch while the block runs; ``process`` stands for one of several, whose metrics are apart."""
    before = time.time()
    task = asyncio.create_task(invariants.watch(db, facts, service=process))
    try:
        await eventually(lambda: all(checked(fact.name, process) >= before for fact in facts))  # it begins by that
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


class TestCheck:
    async def test_nothing_is_wrong_with_a_service_that_works(self, toy: Service) -> None:
        await toy.edge.handle(records(MarkMade(thing="a"), MarkErased(thing="a")))
        assert await invariants.check(toy.db, toy.all_invariants) == []

    async def test_a_violation_has_its_count_and_a_sample(self, toy: Service) -> None:
        await toy.edge.handle(records(*(MarkErased(thing=f"thing-{number}") for number in range(8))))

        (violation,) = await invariants.check(toy.db, toy.all_invariants)

        assert violation.invariant.name == "counts_are_positive"
        assert violation.count == 8
        assert len(violation.sample) == 5
        assert violation.sample[0]["count"] == -1

    @pytest.mark.parametrize(
        ("broken", "name"),
        [
            ("UPDATE outbox SET created_at = now() - interval '6 minutes'", "outbox_is_drained"),
            ("UPDATE dead_letters SET created_at = now() - interval '22 days'", "dead_letters_are_handled"),
            ("INSERT INTO inbox VALUES (uuidv7(- interval '32 days'))", "inbox_is_pruned"),
        ],
    )
    async def test_the_kernel_has_its_own(self, toy: Service, broken: str, name: str) -> None:
        await toy.edge.handle(records(MarkMade(thing="a"), MarkMade(thing="poison")))
        assert await invariants.check(toy.db, KERNEL) == []

        await execute(toy, broken)

        assert [found.invariant.name for found in await invariants.check(toy.db, KERNEL)] == [name]


class TestWatch:
    async def test_a_violation_is_an_error_in_the_log_and_a_metric_until_it_is_mended(
        self, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(invariants, "INTERVAL_SECONDS", 0.02)
        await toy.edge.handle(records(MarkErased(thing="a")))

        with structlog.testing.capture_logs() as logs:
            async with watching(toy.db, *toy.all_invariants):
                await eventually(lambda: violations() == 1)
                await execute(toy, "UPDATE counts SET count = 0")
                await eventually(lambda: violations() == 0)

        assert {entry["invariant"] for entry in logs if entry["event"] == "invariant.violated"} == {
            "counts_are_positive"
        }

    async def test_one_that_cannot_be_checked_hides_no_other(
        self, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(invariants, "INTERVAL_SECONDS", 0.02)
        broken = Invariant("broken", "Nothing.", "SELECT * FROM no_such_table")
        before = time.time()
        await toy.edge.handle(records(MarkErased(thing="a")))

        with structlog.testing.capture_logs() as logs:
            async with watching(toy.db, broken, *toy.invariants):
                await eventually(lambda: len(logs) >= 4)

        assert {(entry["event"], entry["invariant"]) for entry in logs} == {
            ("invariant.skipped", "broken"),
            ("invariant.violated", "counts_are_positive"),
        }
        assert before <= checked("broken") < checked("counts_are_positive")


class TestProcesses:
    async def test_one_checks_and_another_takes_its_place(self, toy: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(invariants, "INTERVAL_SECONDS", 0.02)
        await toy.edge.handle(records(MarkErased(thing="a")))

        async with AsyncExitStack() as first:
            await first.enter_async_context(watching(toy.db, *toy.all_invariants, process="first"))
            await eventually(lambda: violations("first") == 1)
            async with watching(toy.db, *toy.all_invariants, process="second"):
                await eventually(lambda: violations("second") == 0)
                await first.aclose()
                await eventually(lambda: violations("second") == 1)

    async def test_one_that_loses_its_connection_checks_again(
        self, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(invariants, "INTERVAL_SECONDS", 0.02)
        await toy.edge.handle(records(MarkErased(thing="a")))

        async with watching(toy.db, *toy.all_invariants):
            await eventually(lambda: violations() == 1)
            await execute(
                toy,
                "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
                " WHERE locktype = 'advisory' AND datname = current_database()",
            )
            await execute(toy, "UPDATE counts SET count = 0")
            await eventually(lambda: violations() == 0)


class TestSlowChecks:
    async def test_a_check_may_take_longer_than_other_statements(
        self, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "COMMAND_TIMEOUT_SECONDS", 0.1)
        monkeypatch.setattr(invariants, "INTERVAL_SECONDS", 0.02)
        hasty = Database(toy.settings.database_url.get_secret_value(), name="toy")
        facts = [slow(0.3), *toy.invariants]
        assert await invariants.check(hasty, facts) == []

        with structlog.testing.capture_logs() as logs:
            async with watching(hasty, *facts):
                start = checked("slow")
                await eventually(lambda: checked("slow") > start)
        await hasty.close()

        assert logs == []

    async def test_the_pause_is_twenty_times_as_long_as_the_checks(
        self, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(invariants, "INTERVAL_SECONDS", 0.02)

        async with watching(toy.db, slow(0.05)):
            start = checked("slow")
            first = await eventually(lambda: (at := checked("slow")) > start and at)
            second = await eventually(lambda: (at := checked("slow")) > first and at)

        assert second - first >= 20 * 0.05
        assert REGISTRY.get_sample_value("atelier_invariants_interval_seconds", {"service": "toy"}) >= 20 * 0.05

    async def test_a_check_that_never_ends_is_given_up(self, toy: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(invariants, "INTERVAL_SECONDS", 0.02)
        monkeypatch.setattr(invariants, "PATIENCE_SECONDS", 0.1)

        with structlog.testing.capture_logs() as logs:
            async with watching(toy.db, slow(3600)):
                await eventually(lambda: len(logs) >= 2)

        assert {entry["event"] for entry in logs} == {"invariants.waiting"}


def slow(seconds: float) -> Invariant:
    query = f"SELECT slept FROM pg_sleep({seconds}) AS slept(slept) WHERE slept IS NULL"
    return Invariant("slow", "It holds, and it takes its time.", query)
