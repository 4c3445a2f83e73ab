"""A service process that is stopped or killed under load: each event counts exactly once, and nothing is set aside."""

import asyncio
import signal

import pytest

from kit.service import Service
from toy.load import load
from toy.process import toy_process
from toy.reading import make_topics

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class TestStop:
    async def test_sigterm_under_load_ends_cleanly_and_a_restart_counts_the_rest(self, toy: Service) -> None:
        async with load(toy) as marks:
            async with toy_process(toy.settings, "--migrate") as first:
                await marks.progress(100)
                first.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(first.wait(), 20) == -signal.SIGTERM
            async with toy_process(toy.settings):
                await marks.progress(100)
                await marks.assert_exact()

    async def test_kill_9_of_one_of_two_is_made_good_by_the_other(self, toy: Service) -> None:
        await make_topics(toy)
        async with toy_process(toy.settings) as first, toy_process(toy.settings), load(toy) as marks:
            await marks.progress(100)
            first.kill()
            await marks.progress(200)
            await marks.assert_exact()

    async def test_kill_9_of_the_only_process_loses_nothing(self, toy: Service) -> None:
        async with load(toy) as marks:
            async with toy_process(toy.settings, "--migrate") as first:
                await marks.progress(100)
                first.kill()
            async with toy_process(toy.settings):
                await marks.progress(100)
                await marks.assert_exact()
