"""Progress reaches whoever listens, and nobody waits for Redis."""

import asyncio

import pytest

from kit.service import Service
from kit.signals import Signals
from kit.testing import eventually

from .journey import Journey, artifacts, ending, tell


class TestProgress:
    async def test_each_phase_of_an_item_is_told_and_the_last_is_kept(self, working: Service) -> None:
        job, settings = Journey(), working.settings
        signals = Signals(settings.redis_url.get_secret_value(), namespace=settings.kafka_topic_prefix)
        receiving = asyncio.create_task(signals.run())
        await eventually(lambda: signals.connected)
        with signals.listen(job.job_id) as queue:
            await tell(working, job.requested(), job.held())
            [made] = await artifacts(working)
            await tell(working, job.stored(made))
            phases = [(await asyncio.wait_for(queue.get(), 10))["phase"] for _ in range(3)]
        last = await signals.last(job.job_id)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        await signals.close()

        assert phases == ["submitted", "produced", "stored"]
        assert [(signal["item"], signal["phase"]) for signal in last] == [(0, "stored")]


class TestWithoutRedis:
    @pytest.fixture
    def settings(self, settings: dict) -> dict:
        return settings | {"redis_url": "redis://127.0.0.1:9/0"}

    async def test_jobs_are_made_all_the_same(self, working: Service) -> None:
        job = Journey()
        await tell(working, job.requested(), job.held())
        [made] = await artifacts(working)
        await tell(working, job.stored(made))

        assert (await ending(working)).items[0].outcome == "delivered"
