"""Events of a job come in any order, more than once; what storage keeps does not depend on it."""

import random
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from kit import migrations, testing
from kit.blobs import Blobs
from kit.invariants import check
from kit.testing import emitted, eventually, records
from shared.events import JobRequested
from shared.ids import new_id
from storage.app import build
from storage.models import metadata
from storage.settings import StorageSettings


def request(job_id: str, account_id: str, references: tuple[str, ...]) -> JobRequested:
    now = datetime.now(UTC)
    return JobRequested(
        job_id=job_id,
        account_id=account_id,
        kind="image",
        input={"prompt": "a lighthouse"},
        items=1,
        price=4000,
        item_prices=(4000,),
        price_version="2026-11-21",
        requested_at=now,
        deadline=now + timedelta(minutes=10),
        references=references,
    )


class TestLineage:
    async def test_the_inputs_of_a_job_are_kept_in_order(self, storage, rows) -> None:
        inputs = tuple(new_id("ast") for _ in range(3))

        await storage.edge.handle(records(request(new_id("job"), new_id("acc"), inputs)))

        kept = await rows("SELECT asset_id FROM lineage ORDER BY position")
        assert tuple(row["asset_id"] for row in kept) == inputs

    async def test_a_job_without_inputs_leaves_nothing(self, storage, rows) -> None:
        await storage.edge.handle(records(request(new_id("job"), new_id("acc"), ())))

        assert await rows("SELECT 1 FROM lineage") == []


class TestPermutation:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5))
    async def test_any_order_with_any_duplicates_ends_in_the_same_state(
        self, stack, artifact, png, working, seed, sizes
    ) -> None:
        chance = random.Random(seed)
        data, job_id, account_id, inputs = png(8, 8), new_id("job"), new_id("acc"), (new_id("ast"), new_id("ast"))
        made = [artifact(data, job_id=job_id, account_id=account_id, item=n, object_key="a.png") for n in range(2)]
        wrong = artifact(data, job_id=job_id, account_id=account_id, item=2, object_key="a.png", size=len(data) + 1)
        again = made[0].model_copy()
        batch = records(*made, wrong, again.stamp(), request(job_id, account_id, inputs))
        delivered = batch + chance.choices(batch, k=4)
        chance.shuffle(delivered)

        async with testing.service("storage", StorageSettings, build, stack) as service:
            blobs = Blobs.from_settings(service.settings)
            await blobs.put("a.png", data, "image/png", {"sha256": made[0].sha256})
            service.workers = [worker for worker in service.workers if worker.name == "assets"]  # thumbnails take long
            async with working(service):
                while delivered:
                    size = chance.choice(sizes)
                    await service.edge.handle(delivered[:size])
                    delivered = delivered[size:]
                await eventually(lambda: _told(service, 3))
            async with service.db.read() as session:
                assets = (await session.execute(text("SELECT id, state FROM assets ORDER BY item"))).all()
                lineage = (
                    (await session.execute(text("SELECT asset_id FROM lineage ORDER BY position"))).scalars().all()
                )
            violations = await check(service.db, service.all_invariants)
            told = await emitted(service.db)
            await blobs.close()

        assert violations == []
        assert [tuple(asset) for asset in assets] == [
            (made[0].asset_id, "stored"),
            (made[1].asset_id, "stored"),
            (wrong.asset_id, "rejected"),
        ]
        assert tuple(lineage) == inputs
        assert sorted((type(event).__name__, event.asset_id) for event in told) == sorted(
            [("AssetStored", one.asset_id) for one in made] + [("AssetRejected", wrong.asset_id)]
        )


class TestHouse:
    async def test_models_and_migrations_agree(self, storage) -> None:
        assert await migrations.drift(storage.db, metadata) == []


async def _told(service, count) -> bool:
    return len(await emitted(service.db)) >= count
