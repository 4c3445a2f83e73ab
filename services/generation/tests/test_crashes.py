"""What is left when a worker dies, loses its lease, or S3 and the database go away under it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, text, update

from generation import worker
from generation.app import build
from generation.models import steps
from generation.settings import GenerationSettings
from generation.worker import StepWork
from kit import backoff, invariants, testing
from kit.blobs import Blobs, BlobUnavailableError
from kit.service import Service
from kit.testing import eventually
from shared.events import JobFailed

from .conftest import Twin, running
from .journey import Journey, artifacts, ending, tell


async def die_while_calling(service: Service, job: Journey) -> None:
    """Let a worker begin a call and die before the answer."""
    async with running(service):
        await tell(service, job.requested(), job.held())
        await eventually(lambda: open_attempts(service))


async def open_attempts(service: Service) -> int:
    async with service.db.read() as session:
        return (await session.execute(text("SELECT count(*) FROM attempts WHERE ended_at IS NULL"))).scalar_one()


async def end_leases(service: Service) -> None:
    async with service.db.write() as session:
        await session.execute(update(steps).values(leased_until=text("now() - interval '1 second'")))


def leased_tasks() -> list[asyncio.Task]:
    return [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "LeaseWorker._guard"]


class Storage:
    """S3 as far as PUT can tell: it refuses every picture until it is ``back``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put = Blobs.put
        self.back = False
        self.refusals = 0

        async def away(blobs: Blobs, *arguments: object, **named: object) -> None:
            if not self.back:
                self.refusals += 1
                raise BlobUnavailableError("S3 cannot be reached")
            await put(blobs, *arguments, **named)

        monkeypatch.setattr(Blobs, "put", away)
        monkeypatch.setattr(backoff, "MAX_SECONDS", 0.2)

    async def refuse(self, more: int) -> None:
        """Wait until so many more pictures were refused."""
        wanted = self.refusals + more
        await eventually(lambda: self.refusals >= wanted)


@contextlib.asynccontextmanager
async def without_bucket(service: Service) -> AsyncIterator[Blobs]:
    """S3 that answers everything with an error, also when it is asked for a sign of life."""
    assert isinstance(service.settings, GenerationSettings)
    blobs = Blobs.from_settings(service.settings)
    blobs._client.remove_bucket(blobs.bucket)
    try:
        yield blobs
    finally:
        await blobs.close()


async def bought(twin: Twin, api_key: str) -> int:
    return await twin.calls(api_key) + await twin.in_flight(api_key)


def again(service: Service) -> Service:
    """A new process on the same database."""
    return build(service.settings)  # type: ignore[arg-type]


class TestKilledWhileCalling:
    @pytest.fixture
    def settings(self, settings: dict) -> dict:
        return settings | {"drain_timeout": 0}

    async def test_the_outcome_is_unknown_and_no_second_call_is_made(
        self, generation: Service, twin: Twin, api_key: str
    ) -> None:
        await die_while_calling(generation, Journey(prompt="[[twin:delay:1500]] a lamp"))
        successor = again(generation)
        await end_leases(successor)
        async with running(successor):
            end = await ending(successor)

            assert isinstance(end, JobFailed)
            assert end.failure == "outcome_unknown"
            assert end.items[0].loss == 4000
            assert await invariants.check(successor.db, successor.all_invariants) == []
        assert await twin.calls(api_key) + await twin.in_flight(api_key) <= 1

    async def test_a_picture_that_had_reached_s3_is_found_and_delivered(
        self, generation: Service, twin: Twin, api_key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job, reached = Journey(), asyncio.Event()
        put = Blobs.put

        async def die_after_put(self: Blobs, *arguments: object, **named: object) -> None:
            await put(self, *arguments, **named)
            reached.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(Blobs, "put", die_after_put)
        async with running(generation):
            await tell(generation, job.requested(), job.held())
            await reached.wait()
        monkeypatch.setattr(Blobs, "put", put)
        successor = again(generation)
        await end_leases(successor)
        async with running(successor):
            [made] = await artifacts(successor)
            await tell(successor, job.stored(made))
            end = await ending(successor)

        assert [item.outcome for item in end.items] == ["delivered"]
        assert await twin.calls(api_key) == 1


class TestLeaseLost:
    async def test_whoever_was_replaced_before_the_call_does_not_call(
        self, generation: Service, twin: Twin, api_key: str
    ) -> None:
        job = Journey()
        await tell(generation, job.requested(), job.held())
        other = again(generation)
        async with running(generation), running(other):
            [made] = await artifacts(generation)
            await tell(generation, job.stored(made))
            await ending(generation)

        assert await twin.calls(api_key) == 1

    async def test_a_result_that_arrives_after_the_lease_is_kept_while_nobody_took_over(self, working: Service) -> None:
        job = Journey(prompt="[[twin:delay:400]] a lamp")
        await tell(working, job.requested(), job.held())
        await eventually(lambda: open_attempts(working))
        async with working.db.write() as session:
            await session.execute(update(steps).values(lease_token=None, leased_until=None, due_at=None))

        assert len(await artifacts(working)) == 1

    async def test_a_result_that_arrives_after_another_took_over_is_kept_late(
        self, working: Service, twin: Twin, api_key: str
    ) -> None:
        job = Journey(prompt="[[twin:delay:1500]] a lamp")
        await tell(working, job.requested(), job.held())
        await eventually(lambda: open_attempts(working))
        other = again(working)
        await end_leases(other)
        async with running(other):
            end = await ending(other)
            [made] = await artifacts(other)

        assert end.items[0].failure == "outcome_unknown"
        assert made.late
        assert await twin.calls(api_key) == 1


class TestStorageAway:
    async def test_a_paid_picture_waits_for_s3_and_is_not_made_again(
        self, working: Service, twin: Twin, api_key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put, refusals = Blobs.put, 0

        async def away(self: Blobs, *arguments: object, **named: object) -> None:
            nonlocal refusals
            if refusals < 3:
                refusals += 1
                raise BlobUnavailableError("S3 cannot be reached")
            await put(self, *arguments, **named)

        monkeypatch.setattr(Blobs, "put", away)
        job = Journey()
        await tell(working, job.requested(), job.held())
        await artifacts(working)

        assert refusals == 3
        assert await twin.paid(api_key) == 1

    async def test_a_paid_picture_waits_for_a_bucket_that_is_not_there(
        self, working: Service, twin: Twin, api_key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put, refused = Blobs.put, asyncio.Event()

        async def watched(self: Blobs, *arguments: object, **named: object) -> None:
            try:
                await put(self, *arguments, **named)
            except Exception:
                refused.set()
                raise

        monkeypatch.setattr(Blobs, "put", watched)
        async with without_bucket(working) as blobs:
            job = Journey()
            await tell(working, job.requested(), job.held())
            await refused.wait()
            await blobs.ensure_bucket()
            [made] = await artifacts(working)

        assert not made.late
        assert await twin.paid(api_key) == 1

    async def test_a_process_that_starts_meanwhile_buys_one_picture_and_asks_with_it(
        self, generation: Service, twin: Twin, api_key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage, jobs = Storage(monkeypatch), [Journey(n=4) for _ in range(5)]
        async with without_bucket(generation) as blobs, running(generation):
            for job in jobs:
                await tell(generation, job.requested(), job.held())
            await storage.refuse(4)
            assert await bought(twin, api_key) == 1
            await blobs.ensure_bucket()
            storage.back = True
            made = await artifacts(generation, 20)

        assert len(made) == 20
        assert await twin.paid(api_key) == 20

    async def test_what_waits_for_s3_beyond_its_deadline_was_never_bought(
        self, generation: Service, twin: Twin, api_key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage, first, second = Storage(monkeypatch), Journey(), Journey(seconds=1)
        async with without_bucket(generation), running(generation):
            await tell(generation, first.requested(), first.held())
            await storage.refuse(1)
            await tell(generation, second.requested(), second.held())
            end = await ending(generation, second.job_id)

        assert isinstance(end, JobFailed)
        assert (end.failure, end.attempts, end.items[0].loss) == ("deadline", (), 0)
        assert await bought(twin, api_key) == 1

    async def test_a_call_that_was_cut_off_is_looked_for_until_s3_answers(
        self, generation: Service, twin: Twin, api_key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        get, looks = Blobs.get, 0

        async def away(self: Blobs, key: str) -> bytes:
            nonlocal looks
            looks += 1
            if looks <= 4:
                raise BlobUnavailableError("S3 cannot be reached")
            return await get(self, key)

        await die_while_calling(generation, Journey(prompt="[[twin:delay:1500]] a lamp"))
        monkeypatch.setattr(Blobs, "get", away)
        monkeypatch.setattr(worker, "ASK_SECONDS", 0.05)
        successor = again(generation)
        await end_leases(successor)
        async with running(successor):
            await eventually(lambda: looks == 4)
            async with successor.db.read() as session:
                claims = (await session.execute(select(steps.c.attempts))).scalar_one()
            end = await ending(successor)

        assert claims <= 2
        assert (end.items[0].failure, looks) == ("outcome_unknown", 5)
        assert await bought(twin, api_key) <= 1


class TestStorageTakesNoPicture:
    """S3 answers when it is asked, and refuses what it is given: its disk is full, or the key may only read."""

    @pytest.fixture
    def settings(self, settings: dict) -> dict:
        return settings | {"concurrency": 2}

    async def test_a_picture_that_has_outlived_its_lease_keeps_its_place(
        self, working: Service, twin: Twin, api_key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage, jobs = Storage(monkeypatch), [Journey(n=4) for _ in range(5)]
        for job in jobs:
            await tell(working, job.requested(), job.held())
        for _ in range(3):
            await storage.refuse(2)
            for task in leased_tasks():
                task.cancel()  # as the end of the lease does
        await storage.refuse(2)
        [work] = [each for each in working.workers if isinstance(each, StepWork)]
        assert len(work._securing) <= 2
        assert await bought(twin, api_key) <= 2
        storage.back = True
        made = await artifacts(working, 20)

        assert len(made) == 20
        assert await twin.paid(api_key) == 20


class TestDatabaseAway:
    async def test_a_paid_picture_waits_for_the_database(
        self, generation: Service, twin: Twin, api_key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from generation.calls import Calls

        finish, refusals = Calls.finish, 0

        async def away(self: Calls, session: object, results: object) -> object:
            nonlocal refusals
            if refusals < 3:
                refusals += 1
                raise ConnectionError("the database is away")
            return await finish(self, session, results)

        monkeypatch.setattr(Calls, "finish", away)
        other = again(generation)
        job = Journey()
        async with running(other):
            await tell(other, job.requested(), job.held())
            await artifacts(other)

        assert refusals == 3
        assert await twin.paid(api_key) == 1


class TestShutdown:
    async def test_a_picture_that_outlived_its_lease_is_kept_before_the_process_ends(
        self, stack: testing.Stack, settings: dict, twin: Twin, api_key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put, job, refused = Blobs.put, Journey(), asyncio.Event()
        values = settings | {"drain_timeout": 20}
        async with testing.service("generation", GenerationSettings, build, stack, **values) as service:

            async def away_until_shutdown(self: Blobs, *arguments: object, **named: object) -> None:
                if not service.stopping:
                    refused.set()
                    raise BlobUnavailableError("S3 cannot be reached")
                await put(self, *arguments, **named)

            monkeypatch.setattr(Blobs, "put", away_until_shutdown)
            async with running(service):
                await tell(service, job.requested(), job.held())
                await refused.wait()
                for task in leased_tasks():
                    task.cancel()  # as the end of the lease does
                await eventually(lambda: not leased_tasks())
            successor = again(service)
            made = await artifacts(successor)
            await successor.db.close()

        assert len(made) == 1
        assert await twin.paid(api_key) == 1

    async def test_a_running_call_is_finished_before_the_process_ends(
        self, stack: testing.Stack, settings: dict, twin: Twin, api_key: str
    ) -> None:
        job = Journey(prompt="[[twin:delay:600]] a lamp")
        values = settings | {"drain_timeout": 20}
        async with testing.service("generation", GenerationSettings, build, stack, **values) as service:
            async with running(service):
                await tell(service, job.requested(), job.held())
                await eventually(lambda: open_attempts(service))
            successor = again(service)
            made = await artifacts(successor)
            await successor.db.close()

        assert len(made) == 1
