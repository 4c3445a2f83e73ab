"""Events of a job come in any order, more than once; what storage keeps does not depend on it."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from kit import testing
from kit.blobs import Blobs
from kit.invariants import check
from kit.testing import emitted, eventually, records
from shared.ids import new_id
from storage.app import build
from storage.settings import StorageSettings


class TestPermutation:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5))
    async def test_any_order_with_any_duplicates_ends_in_the_same_state(
        self, stack, artifact, png, working, seed, sizes
    ) -> None:
        chance = random.Random(seed)
        data, job_id, account_id = png(8, 8), new_id("job"), new_id("acc")
        made = [artifact(data, job_id=job_id, account_id=account_id, item=n, object_key="a.png") for n in range(2)]
        wrong = artifact(data, job_id=job_id, account_id=account_id, item=2, object_key="a.png", size=len(data) + 1)
        again = made[0].model_copy()
        batch = records(*made, wrong, again.stamp())
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
            violations = await check(service.db, service.all_invariants)
            told = await emitted(service.db)
            await blobs.close()

        assert violations == []
        assert [tuple(asset) for asset in assets] == [
            (made[0].asset_id, "stored"),
            (made[1].asset_id, "stored"),
            (wrong.asset_id, "rejected"),
        ]
        assert sorted((type(event).__name__, event.asset_id) for event in told) == sorted(
            [("AssetStored", one.asset_id) for one in made] + [("AssetRejected", wrong.asset_id)]
        )


async def _told(service, count) -> bool:
    return len(await emitted(service.db)) >= count
