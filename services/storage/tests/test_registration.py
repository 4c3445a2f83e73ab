"""An announced artifact becomes an asset exactly once, and only when S3 holds its bytes."""

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from kit.blobs import Blobs, BlobUnavailableError
from kit.service import Service
from kit.testing import emitted, eventually, records
from shared.events import AssetRejected, AssetStored
from storage import registration
from storage.app import build

ASSETS = "SELECT id, state, source, late, rejection_code, attempts FROM assets ORDER BY id"


class Looks:
    """Counts HEADs."""

    def __init__(self) -> None:
        self.count = self.at_once = self.most_at_once = 0

    def watch(self, head):
        async def look(blobs: Blobs, key: str) -> object:
            self.count += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                return await head(blobs, key)
            finally:
                self.at_once -= 1

        return look


async def settled(storage: Service, count: int = 1) -> list[AssetStored | AssetRejected]:
    async def enough() -> list[object]:
        events = await emitted(storage.db)
        return events if len(events) >= count else []

    return await eventually(enough)


class TestRegister:
    async def test_a_produced_artifact_is_stored_and_told_once(self, storage, produce, working) -> None:
        event = await produce(item=2)

        async with working(storage):
            await storage.edge.handle(records(event))
            (stored,) = await settled(storage)

        assert isinstance(stored, AssetStored)
        assert (stored.asset_id, stored.job_id, stored.item, stored.source) == (
            event.asset_id,
            event.job_id,
            2,
            "generated",
        )
        assert (stored.size, stored.sha256) == (event.size, event.sha256)
        assert stored.envelope.causation_id == event.envelope.id

    async def test_a_second_announcement_has_no_second_effect(self, storage, produce, working, rows) -> None:
        event = await produce()
        again = event.model_copy()

        async with working(storage):
            await storage.edge.handle(records(event) + records(again.stamp()))
            await settled(storage)
            await storage.edge.handle(records(event.model_copy().stamp()))
            await eventually(lambda: rows("SELECT 1 FROM derivatives WHERE state = 'done'"))

        assert len(await emitted(storage.db)) == 1
        assert len(await rows(ASSETS)) == 1

    async def test_a_fallback_and_a_late_picture_are_marked(self, storage, produce, working) -> None:
        fallback, late = await produce(fallback=True), await produce(late=True)

        async with working(storage):
            await storage.edge.handle(records(fallback, late))
            events = {event.asset_id: event for event in await settled(storage, 2)}

        assert events[fallback.asset_id].source == "fallback"
        assert events[late.asset_id].late

    async def test_the_trace_of_the_announcement_goes_on(self, storage, produce, working) -> None:
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        event = await produce()

        async with working(storage):
            await storage.edge.handle(records(event.stamp(traceparent=trace)))
            (stored,) = await settled(storage)

        assert stored.envelope.traceparent.split("-")[1] == trace.split("-")[1]


class TestReject:
    @pytest.mark.parametrize(
        ("changes", "code"),
        [({"size": 7}, "size_mismatch"), ({"sha256": "f" * 64}, "hash_mismatch")],
        ids=["size", "hash"],
    )
    async def test_bytes_that_differ_are_rejected(
        self, storage, blobs, changes, code, working, rows, artifact, png
    ) -> None:
        data = png()
        honest = artifact(data)
        await blobs.put(honest.object_key, data, "image/png", {"sha256": honest.sha256})

        async with working(storage):
            await storage.edge.handle(records(honest.model_copy(update=changes)))
            (rejected,) = await settled(storage)

        assert isinstance(rejected, AssetRejected)
        assert (rejected.asset_id, rejected.job_id, rejected.code) == (honest.asset_id, honest.job_id, code)
        assert await rows("SELECT 1 FROM derivatives") == []

    async def test_an_object_that_stays_missing_is_rejected(self, storage, monkeypatch, working, artifact, png) -> None:
        monkeypatch.setattr(registration, "LOOK_AGAIN_SECONDS", 0.01)

        async with working(storage):
            await storage.edge.handle(records(artifact(png())))
            (rejected,) = await settled(storage)

        assert rejected.code == "missing"

    async def test_an_object_that_appears_in_time_is_stored(
        self, storage, blobs, monkeypatch, working, rows, artifact, png
    ) -> None:
        monkeypatch.setattr(registration, "LOOK_AGAIN_SECONDS", 0.1)
        data = png()
        event = artifact(data)

        async with working(storage):
            await storage.edge.handle(records(event))
            await eventually(lambda: rows("SELECT 1 FROM assets WHERE lease_token IS NULL AND attempts = 1"))
            await blobs.put(event.object_key, data, "image/png", {"sha256": event.sha256})
            (stored,) = await settled(storage)

        assert isinstance(stored, AssetStored)


class TestBadDays:
    async def test_while_s3_is_away_the_asset_waits(self, storage, produce, monkeypatch, working, rows) -> None:
        monkeypatch.setattr(registration, "S3_RETRY_SECONDS", 0.05)
        event = await produce()
        away = build(storage.settings.model_copy(update={"s3_url": "http://127.0.0.1:1"}))

        async with working(away):
            await away.edge.handle(records(event))
            await eventually(lambda: rows("SELECT 1 FROM assets WHERE attempts = 0 AND due_at > created_at"))
        (waiting,) = await rows(ASSETS)
        async with working(storage):
            (stored,) = await settled(storage)

        assert waiting["state"] == "registering"
        assert isinstance(stored, AssetStored)

    async def test_while_s3_is_away_one_asset_at_a_time_asks_for_it(
        self, storage, produce, monkeypatch, working
    ) -> None:
        monkeypatch.setattr(registration, "S3_RETRY_SECONDS", 0.05)
        looks = Looks()
        events = [await produce() for _ in range(10)]
        away = build(storage.settings.model_copy(update={"s3_url": "http://127.0.0.1:1"}))

        with capture_logs() as logs:
            async with working(away):
                await eventually(lambda: not away.checks["s3"]())  # it looks for its bucket
                monkeypatch.setattr(Blobs, "head", looks.watch(Blobs.head))
                await away.edge.handle(records(*events))
                await eventually(lambda: looks.count > len(events))

        assert looks.most_at_once == 1
        assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["s3.lost", "bucket.waiting"]

    async def test_an_asset_of_a_killed_worker_is_registered_by_the_next(self, storage, produce, working) -> None:
        event = await produce()
        await storage.edge.handle(records(event))
        async with storage.db.write() as session:
            await session.execute(
                registration.text(
                    "UPDATE assets SET lease_token = gen_random_uuid(), leased_until = now() - interval '1s'"
                )
            )

        async with working(storage):
            (stored,) = await settled(storage)

        assert stored.asset_id == event.asset_id

    async def test_what_a_worker_finds_after_it_lost_its_lease_does_not_count(
        self, storage, produce, working, rows
    ) -> None:
        event = await produce()
        taken = registration.text("UPDATE assets SET lease_token = gen_random_uuid(), leased_until = now() + '1 hour'")

        async def steal(_key: str) -> object:
            async with storage.db.write() as session:
                await session.execute(taken)
            return await head(event.object_key)

        registrar = next(worker for worker in storage.workers if worker.name == "assets")._work.__self__
        head, registrar._blobs.head = registrar._blobs.head, steal
        async with working(storage):
            await storage.edge.handle(records(event))
            await eventually(lambda: rows("SELECT 1 FROM assets WHERE leased_until > now() + interval '50 min'"))
            await eventually(lambda: not registrar.worker._running)

        assert await emitted(storage.db) == []
        assert (await rows(ASSETS))[0]["state"] == "registering"

    async def test_a_lease_that_is_lost_while_s3_is_away_is_told(self, storage, produce, working) -> None:
        event = await produce()
        taken = registration.text("UPDATE assets SET lease_token = gen_random_uuid(), leased_until = now() + '1 hour'")

        async def steal(_key: str) -> object:
            async with storage.db.write() as session:
                await session.execute(taken)
            raise BlobUnavailableError("S3 is away")

        def lost() -> float:
            return REGISTRY.get_sample_value("atelier_leases_lost_total", {"service": "storage", "work": "assets"})

        registrar = next(worker for worker in storage.workers if worker.name == "assets")._work.__self__
        registrar._blobs.head = steal
        before = lost()
        async with working(storage):
            await storage.edge.handle(records(event))
            await eventually(lambda: lost() == before + 1)

    async def test_a_service_starts_while_s3_is_away(self, storage, working, rows) -> None:
        away = build(storage.settings.model_copy(update={"s3_url": "http://127.0.0.1:1"}))

        async with working(away):
            assert await rows(ASSETS) == []


class TestBatches:
    async def test_a_big_batch_is_stored_with_one_event_each(self, storage, blobs, working, artifact, png) -> None:
        data = png(8, 8)
        events = [artifact(data, object_key="shared.png", item=n % 4) for n in range(120)]
        await blobs.put("shared.png", data, "image/png", {"sha256": events[0].sha256})

        async with working(storage):
            await storage.edge.handle(records(*events))
            stored = await settled(storage, 120)

        assert {event.asset_id for event in stored} == {event.asset_id for event in events}
        assert len(stored) == 120
