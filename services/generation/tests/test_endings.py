"""Deadline, cancel, refusal and overdue holds: when a job ends, how, and that it ends once."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from generation.models import steps
from generation.retention import RULES
from kit import invariants
from kit.retention import Retention
from kit.service import Service
from kit.testing import eventually
from shared.events import JobCancelled, JobFailed, JobRefused, JobSucceeded

from .conftest import Twin, running
from .journey import Journey, artifacts, ending, tell, terminals


async def calls_under_way(service: Service) -> int:
    async with service.db.read() as session:
        return (await session.execute(text("SELECT count(*) FROM attempts WHERE ended_at IS NULL"))).scalar_one()


async def pass_the_deadline(service: Service) -> None:
    """Let the time of the one job run out, and wait until its timer has rung."""
    async with service.db.write() as session:
        await session.execute(text("UPDATE runs SET deadline = now() - interval '5 minutes', due_at = now()"))

    async def rang() -> bool:
        async with service.db.read() as session:
            return (await session.execute(text("SELECT due_at IS NULL FROM runs"))).scalar_one()

    await eventually(rang)


async def silence_the_timer(service: Service) -> None:
    """Leave the end of the one job to whoever works on its steps."""
    async with service.db.write() as session:
        await session.execute(text("UPDATE runs SET due_at = now() + interval '1 hour'"))


async def count(service: Service, table: str) -> int:
    async with service.db.read() as session:
        return (await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()


async def ask_for_patience(service: Service, calls: dict[int, int]) -> None:
    """As a provider does that has answered so many calls for each item of the one job with a 429."""
    async with service.db.write() as session:
        for item, count in calls.items():
            await session.execute(
                text(
                    "INSERT INTO attempts (step_id, number, model, ended_at, outcome, failure)"
                    " SELECT id, number, model, now(), 'retryable', 'rate_limited'"
                    " FROM steps, generate_series(1, CAST(:count AS int)) AS number WHERE item = :item"
                ),
                {"item": item, "count": count},
            )


class TestDeadline:
    async def test_an_item_in_flight_is_given_up_and_its_picture_kept_late(self, working: Service) -> None:
        job = Journey(prompt="[[twin:delay:3000]] a lamp")
        await tell(working, job.requested(), job.held())
        await eventually(lambda: calls_under_way(working))
        await pass_the_deadline(working)
        end = await ending(working)
        [made] = await artifacts(working)

        assert isinstance(end, JobFailed)
        assert end.failure == "deadline"
        assert (end.items[0].price, end.items[0].loss) == (0, 0)
        assert made.late
        assert await invariants.check(working.db, working.all_invariants) == []

    async def test_a_picture_that_was_made_in_time_waits_for_storage_and_is_charged(self, working: Service) -> None:
        job = Journey()
        await tell(working, job.requested(), job.held())
        [made] = await artifacts(working)
        await pass_the_deadline(working)
        await tell(working, job.overdue())
        assert await terminals(working) == []
        assert await invariants.check(working.db, working.all_invariants) == []
        await tell(working, job.stored(made))
        end = await ending(working)

        assert not made.late
        assert isinstance(end, JobSucceeded)
        assert [(item.outcome, item.price) for item in end.items] == [("delivered", 4000)]
        assert await invariants.check(working.db, working.all_invariants) == []

    async def test_one_that_storage_rejects_after_the_deadline_is_free(self, working: Service) -> None:
        job = Journey()
        await tell(working, job.requested(), job.held())
        [made] = await artifacts(working)
        await pass_the_deadline(working)
        await tell(working, job.rejected(made))

        assert [(item.failure, item.price) for item in (await ending(working)).items] == [("storage_rejected", 0)]

    async def test_of_two_items_the_one_in_time_is_charged_and_the_other_comes_late(self, working: Service) -> None:
        job = Journey(n=2, prompt="[[twin:delay:5000 x1]] a lamp")
        await tell(working, job.requested(), job.held())
        [made] = await artifacts(working)
        await pass_the_deadline(working)
        await tell(working, job.stored(made))
        end = await ending(working)
        late = (await artifacts(working, 2))[1]

        assert isinstance(end, JobSucceeded)
        assert sorted((item.outcome, item.price, item.failure) for item in end.items) == [
            ("delivered", 4000, None),
            ("failed", 0, "deadline"),
        ]
        assert (made.late, late.late) == (False, True)

    async def test_a_job_that_billing_never_answered_ends_too(self, working: Service) -> None:
        job = Journey(seconds=0)
        await tell(working, job.requested())

        assert [item.failure for item in (await ending(working)).items] == ["deadline"]


class TestInvariants:
    @pytest.mark.parametrize(
        ("change", "violated"),
        [
            ("UPDATE runs SET deadline = now() - interval '2 minutes'", {"runs_end_by_their_deadline"}),
            ("UPDATE steps SET due_at = NULL", {"pending_steps_are_due"}),
            ("UPDATE steps SET state = 'cancelled'", {"running_runs_have_an_open_step"}),
            ("DELETE FROM steps WHERE item = 1", {"running_runs_have_all_steps"}),
            (
                "UPDATE runs SET state = 'ended', outcome = 'failed', ended_at = now()",
                {"ended_runs_have_no_open_step"},
            ),
        ],
    )
    async def test_each_finds_what_contradicts_it(self, generation: Service, change: str, violated: set[str]) -> None:
        job = Journey(n=2)
        await tell(generation, job.requested(), job.held())
        async with generation.db.write() as session:
            await session.execute(text(change))
        found = await invariants.check(generation.db, generation.all_invariants)

        assert {violation.invariant.name for violation in found} == violated


class TestTooLateForACall:
    @pytest.fixture
    def settings(self, settings: dict) -> dict:
        return settings | {"headroom": 20}

    @pytest.mark.parametrize(("seconds", "fallback"), [(-300, "none"), (-300, "gradient"), (15, "none")])
    async def test_nothing_is_bought_for_a_job_that_cannot_be_in_time(
        self, generation: Service, twin: Twin, api_key: str, seconds: float, fallback: str
    ) -> None:
        job = Journey(seconds=seconds, fallback=fallback)
        await tell(generation, job.requested(), job.held())
        await silence_the_timer(generation)
        async with running(generation):
            end = await ending(generation)

        assert [(item.failure, item.price, item.loss) for item in end.items] == [("deadline", 0, 0)]
        assert end.attempts == ()
        assert await twin.calls(api_key) == 0

    async def test_while_there_is_time_the_fallback_is_made(
        self, generation: Service, twin: Twin, api_key: str
    ) -> None:
        job = Journey(seconds=600, fallback="gradient")
        await tell(generation, job.requested(), job.held())
        await silence_the_timer(generation)
        async with generation.db.write() as session:
            await session.execute(text("UPDATE runs SET deadline = now() + interval '19 seconds'"))
        async with running(generation):
            [made] = await artifacts(generation)
            await tell(generation, job.stored(made))
            end = await ending(generation)

        assert [(item.fallback, item.price) for item in end.items] == [(True, 0)]
        assert await twin.calls(api_key) == 0

    async def test_the_shortest_job_has_time(self, working: Service) -> None:
        job = Journey(seconds=30)
        await tell(working, job.requested(), job.held())

        assert [made.fallback for made in await artifacts(working)] == [False]


class TestManyCalls:
    async def test_the_latest_of_every_item_are_told_so_that_each_that_was_begun_is_known(
        self, generation: Service
    ) -> None:
        job = Journey(n=2)
        await tell(generation, job.requested(), job.held())
        await ask_for_patience(generation, {0: 3, 1: 120})
        await tell(generation, job.overdue())
        end = await ending(generation)

        told = [(attempt.item, attempt.number) for attempt in end.attempts]
        assert told == [(0, number) for number in (1, 2, 3)] + [(1, number) for number in range(71, 121)]


class TestRetention:
    async def test_only_an_ended_run_that_is_too_old_is_deleted_with_all_it_has(self, generation: Service) -> None:
        ended, waiting = Journey(), Journey()
        await tell(generation, ended.requested(), ended.held(), ended.stored(0), waiting.requested())
        retention, now = Retention(generation.db, RULES), datetime.now(UTC)
        await retention.sweep(now + timedelta(days=29))
        assert await count(generation, "runs") == 2
        await retention.sweep(now + timedelta(days=31))

        assert (await count(generation, "runs"), await count(generation, "steps")) == (1, 0)


class TestCancel:
    async def test_before_the_hold_is_answered_it_waits_for_billing(self, working: Service) -> None:
        job = Journey(n=2)
        await tell(working, job.requested(), job.cancelled())
        assert await terminals(working) == []
        await tell(working, job.held())
        end = await ending(working)

        assert isinstance(end, JobCancelled)
        assert [(item.outcome, item.price) for item in end.items] == [("cancelled", 0)] * 2

    async def test_what_was_not_begun_is_never_called(self, generation: Service, twin: Twin, api_key: str) -> None:
        job = Journey(n=2)
        await tell(generation, job.requested(), job.held(), job.cancelled())

        assert isinstance(await ending(generation), JobCancelled)
        assert await twin.calls(api_key) == 0

    async def test_a_call_under_way_runs_to_its_end_and_is_charged(self, working: Service) -> None:
        job = Journey(prompt="[[twin:delay:300]] a lamp", n=1)
        await tell(working, job.requested(), job.held())
        await eventually(lambda: calls_under_way(working))
        await tell(working, job.cancelled())
        [made] = await artifacts(working)
        await tell(working, job.stored(made))
        end = await ending(working)

        assert isinstance(end, JobSucceeded)
        assert (end.items[0].outcome, end.items[0].price) == ("delivered", 4000)

    async def test_a_failed_call_is_not_repeated_for_a_customer_who_cancelled(
        self, working: Service, twin: Twin, api_key: str
    ) -> None:
        job = Journey(prompt="[[twin:429:1]] a lamp")
        await tell(working, job.requested(), job.held())
        await eventually(lambda: twin.calls(api_key))
        await tell(working, job.cancelled())

        assert isinstance(await ending(working), JobCancelled)
        assert await twin.calls(api_key) == 1


class TestRefusal:
    async def test_the_job_is_refused_with_the_numbers(self, generation: Service) -> None:
        job = Journey()
        await tell(generation, job.refused(), job.requested())
        end = await ending(generation)

        assert isinstance(end, JobRefused)
        assert (end.failure, end.needed, end.available) == ("insufficient_credits", 4000, 7)
        assert end.items[0].price == 0


class TestRestored:
    async def test_a_job_names_the_asset_that_storage_has(self, generation: Service) -> None:
        job = Journey()
        await tell(generation, job.requested(), job.held())  # planned anew: what was made before is forgotten
        stored = job.stored(0)
        await tell(generation, stored)
        end = await ending(generation)
        async with generation.db.read() as session:
            step = (await session.execute(steps.select())).one()

        assert [item.asset_id for item in end.items] == [stored.asset_id]
        assert step.asset_id == stored.asset_id
        assert step.object_key == f"{job.account_id}/{job.job_id}/0-{stored.asset_id}.png"


class TestOverdue:
    async def test_a_job_that_is_not_known_is_answered_once(self, generation: Service) -> None:
        job = Journey()
        await tell(generation, job.overdue(), job.requested(), job.held())
        end = await ending(generation)

        assert isinstance(end, JobFailed)
        assert (end.failure, end.items) == ("deadline", ())

    async def test_a_job_that_has_ended_is_told_again_word_by_word(self, generation: Service) -> None:
        delivered, cancelled, refused, foreign = Journey(n=2), Journey(), Journey(), Journey(kind="hologram")
        await tell(generation, delivered.requested(), delivered.held(), delivered.stored(0), delivered.rejected(1))
        await tell(generation, cancelled.requested(), cancelled.held(), cancelled.cancelled())
        await tell(generation, refused.requested(), refused.refused())
        await tell(generation, foreign.requested(), foreign.held())
        jobs = [delivered, cancelled, refused, foreign]
        for job in jobs:
            await tell(generation, job.cancelled(), job.stored(0))  # too late to change anything
        call = [job.overdue() for job in jobs]
        await tell(generation, *call)

        for job, overdue in zip(jobs, call, strict=True):
            first, again = await terminals(generation, job.job_id)
            assert type(first) is type(again)
            assert first == again
            assert first.envelope.id == again.envelope.id
            assert again.envelope.causation_id == overdue.envelope.id

    async def test_a_job_that_ended_unknown_is_told_again_as_unknown(self, generation: Service) -> None:
        job = Journey()
        await tell(generation, job.overdue())
        await tell(generation, job.requested(), job.held(), job.stored(0))
        await tell(generation, job.overdue())

        first, again = await terminals(generation, job.job_id)
        assert first == again

    async def test_a_job_that_hangs_is_ended(self, generation: Service) -> None:
        job = Journey()
        await tell(generation, job.requested(), job.held(), job.overdue())

        assert [item.failure for item in (await ending(generation)).items] == ["deadline"]


class TestOnce:
    @pytest.mark.parametrize("seed", range(3))
    async def test_concurrent_triggers_end_a_job_once(self, generation: Service, seed: int) -> None:
        jobs = [Journey(n=2) for _ in range(12)]
        for job in jobs:
            await tell(generation, job.requested(), job.held())
        triggers = [event for job in jobs for event in (job.stored(0), job.stored(1), job.cancelled(), job.overdue())]
        random.Random(seed).shuffle(triggers)
        await asyncio.gather(*(tell(generation, trigger) for trigger in triggers))

        ends = {end.job_id: end for end in await terminals(generation)}
        assert ends.keys() == {job.job_id for job in jobs}
        assert all(end == ends[end.job_id] for end in await terminals(generation))
        assert await invariants.check(generation.db, generation.all_invariants) == []


class TestFairness:
    async def test_a_newcomer_goes_before_the_backlog_of_another_account(self, generation: Service) -> None:
        account = Journey().account_id
        backlog = [Journey(n=4, account_id=account) for _ in range(50)]
        await tell(generation, *(event for job in backlog for event in (job.requested(), job.held())))
        newcomer = Journey()
        await tell(generation, newcomer.requested(), newcomer.held())
        async with generation.db.read() as session:
            order = (await session.execute(steps.select().order_by(steps.c.priority, steps.c.turn))).all()

        position = [step.job_id for step in order].index(newcomer.job_id)
        assert position < 40
        assert len({step.turn for step in order if step.job_id != newcomer.job_id}) == 200
