"""Invariants: what contradicts them is found, counted and told."""

import asyncio
import time

import pytest
import structlog
from prometheus_client import REGISTRY
from sqlalchemy import text

from kit import invariants
from kit.invariants import KERNEL, Invariant
from kit.service import Service
from kit.testing import eventually, records
from toy.events import MarkErased, MarkMade


async def execute(toy: Service, statement: str) -> None:
    async with toy.db.write() as session:
        await session.execute(text(statement))


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

        def violations() -> float | None:
            labels = {"service": "toy", "invariant": "counts_are_positive"}
            return REGISTRY.get_sample_value("atelier_invariant_violations", labels)

        with structlog.testing.capture_logs() as logs:
            watching = asyncio.create_task(invariants.watch(toy.db, toy.all_invariants, service="toy"))
            await eventually(lambda: violations() == 1)
            await execute(toy, "UPDATE counts SET count = 0")
            await eventually(lambda: violations() == 0)
            watching.cancel()
            await asyncio.wait([watching])

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

        def checked(invariant: str) -> float:
            labels = {"service": "toy", "invariant": invariant}
            return REGISTRY.get_sample_value("atelier_invariant_checked_timestamp_seconds", labels) or 0.0

        with structlog.testing.capture_logs() as logs:
            watching = asyncio.create_task(invariants.watch(toy.db, [broken, *toy.invariants], service="toy"))
            await eventually(lambda: len(logs) >= 4)
            watching.cancel()
            await asyncio.wait([watching])

        assert {(entry["event"], entry["invariant"]) for entry in logs} == {
            ("invariant.skipped", "broken"),
            ("invariant.violated", "counts_are_positive"),
        }
        assert before <= checked("broken") < checked("counts_are_positive")
