"""A job from its request to its one terminal event, with the real twin and a real S3 server."""

from kit import invariants, testing
from kit.blobs import Blobs
from kit.service import Service
from shared.events import JobFailed, JobSucceeded

from .journey import Journey, artifacts, ending, tell, terminals


class TestJourney:
    async def test_every_item_is_made_kept_and_told_of(self, working: Service) -> None:
        job = Journey(n=3, size="1792x1024")
        await tell(working, job.requested(), job.held())
        made = await artifacts(working, 3)
        await tell(working, *(job.stored(artifact) for artifact in made))
        end = await ending(working)

        assert isinstance(end, JobSucceeded)
        assert [(item.outcome, item.price) for item in end.items] == [("delivered", 4000)] * 3
        assert {item.asset_id for item in end.items} == {artifact.asset_id for artifact in made}
        assert [attempt.outcome for attempt in end.attempts] == ["succeeded"] * 3
        assert all(attempt.cost_usd and attempt.provider_request_id for attempt in end.attempts)
        assert await invariants.check(working.db, working.all_invariants) == []

    async def test_the_bytes_lie_under_their_final_key_with_their_hash(self, working: Service) -> None:
        job = Journey()
        await tell(working, job.requested(), job.held())
        [made] = await artifacts(working)
        blobs = Blobs.from_settings(working.settings)  # type: ignore[arg-type]
        found = await blobs.head(made.object_key)
        await blobs.close()

        assert made.object_key == f"{job.account_id}/{job.job_id}/0-{made.asset_id}.png"
        assert (found.size, found.metadata["sha256"]) == (made.size, made.sha256)
        assert job.prompt not in str(made.recipe)

    async def test_items_of_one_job_are_different_pictures(self, working: Service) -> None:
        job = Journey(n=2)
        await tell(working, job.requested(), job.held())
        first, second = await artifacts(working, 2)

        assert first.sha256 != second.sha256

    async def test_an_item_that_storage_rejects_fails_alone(self, working: Service) -> None:
        job = Journey(n=2)
        await tell(working, job.requested(), job.held())
        good, bad = await artifacts(working, 2)
        await tell(working, job.stored(good), job.rejected(bad))
        end = await ending(working)

        assert isinstance(end, JobSucceeded)
        assert sorted(item.outcome for item in end.items) == ["delivered", "failed"]
        assert {item.failure for item in end.items} == {None, "storage_rejected"}

    async def test_events_continue_the_trace_and_name_their_cause(self, working: Service) -> None:
        job, traceparent = Journey(), f"00-{'a' * 32}-{'b' * 16}-01"
        held = job.held().stamp(traceparent=traceparent)
        await tell(working, job.requested(), held)
        [made] = await artifacts(working)

        assert made.envelope.causation_id == held.envelope.id
        assert made.envelope.correlation_id == job.job_id
        assert (made.envelope.traceparent or "").split("-")[1] == "a" * 32

    async def test_a_kind_that_is_not_known_fails_at_once(self, working: Service) -> None:
        job = Journey(kind="hologram")
        await tell(working, job.requested(), job.held())
        end = await ending(working)

        assert isinstance(end, JobFailed)
        assert end.failure == "internal"

    async def test_a_second_terminal_trigger_changes_nothing(self, working: Service) -> None:
        job = Journey()
        await tell(working, job.requested(), job.held())
        [made] = await artifacts(working)
        await tell(working, job.stored(made))
        await tell(working, job.cancelled(), job.rejected(made))

        assert [type(event) for event in await terminals(working)] == [JobSucceeded]


class TestRequest:
    async def test_nothing_is_made_before_billing_has_answered(self, working: Service) -> None:
        job, other = Journey(), Journey()
        await tell(working, job.requested())
        await tell(working, other.requested(), other.held())
        made = await artifacts(working)

        assert [artifact.job_id for artifact in made] == [other.job_id]

    async def test_a_hundred_jobs_of_one_batch_start_once_each(self, generation: Service) -> None:
        jobs = [Journey() for _ in range(100)]
        await tell(generation, *(job.held() for job in jobs), *(job.requested() for job in jobs))
        await tell(generation, *(job.held() for job in jobs))

        assert await count(generation, "SELECT count(*) FROM steps") == 100


class TestModels:
    async def test_the_catalogue_is_listed_for_gateway_alone(self, generation: Service) -> None:
        async with testing.client(generation) as anonymous:
            assert (await anonymous.get("/v1/models")).status_code == 401
        async with testing.client(generation, account_id=Journey().account_id) as http:
            models = {model["name"]: model for model in (await http.get("/v1/models")).json()["data"]}

        assert models["gpt-image-2"]["current"]
        assert models["gpt-image-2"]["paused"] is None
        assert models["dall-e-3"]["status"] == "retired"
        assert models["dall-e-3"]["successor"] == "gpt-image-2"


async def count(service: Service, sql: str) -> int:
    from sqlalchemy import text

    async with service.db.read() as session:
        return int((await session.execute(text(sql))).scalar_one())
