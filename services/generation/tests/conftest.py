"""Generation on a fresh database, and the OpenAI twin that it calls."""

import contextlib
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from generation.app import build
from generation.settings import GenerationSettings
from kit import testing
from kit.service import Service


class Twin:
    """The OpenAI twin in a process of its own. Calls are told apart by API key, so tests do not meet."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.base_url = f"{url}/openai/v1"

    async def calls(self, api_key: str) -> int:
        """How many calls this key has made."""
        return (await self._report(api_key))["matching"]["calls"]

    async def paid(self, api_key: str) -> int:
        """How many calls the provider would bill to this key."""
        return (await self._report(api_key))["matching"]["paid"]

    async def in_flight(self, api_key: str) -> int:
        """How many calls have arrived and are not answered yet."""
        return (await self._report(api_key))["in_flight"]

    async def _report(self, api_key: str) -> dict:
        async with httpx2.AsyncClient() as http:
            answer = await http.get(f"{self.url}/control/calls", params={"api_key": api_key, "limit": 0})
            return answer.raise_for_status().json()


@pytest.fixture(scope="session")
def twin() -> Iterator[Twin]:
    command = [sys.executable, "-m", "twins", "serve", "--port", "0", "--render-workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        assert url.startswith("http"), "the twins did not start"
        httpx2.put(f"{url}/control/settings", json={"art": "flat"}).raise_for_status()
        try:
            yield Twin(url)
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def api_key() -> str:
    return f"sk-test-{uuid.uuid4().hex}"


@pytest.fixture
def settings(twin: Twin, api_key: str) -> dict:
    """Settings under which everything that waits waits briefly."""
    return {
        "openai_api_key": api_key,
        "openai_base_url": twin.base_url,
        "retry_delay": 0.02,
        "headroom": 0,
        "drain_timeout": 1,
        "provider_timeout": 20,
        "step_lease": 60,
    }


@pytest.fixture
async def generation(stack: testing.Stack, settings: dict) -> AsyncIterator[Service]:
    """Generation whose workers do not run: steps stay where handlers put them."""
    async with testing.service("generation", GenerationSettings, build, stack, **settings) as service:
        yield service
        for close in service.on_close:
            await close()


@pytest.fixture
async def working(generation: Service) -> AsyncIterator[Service]:
    """Generation whose workers run, without Kafka: events are handed to its edge and read from its outbox."""
    generation.roles = frozenset({"worker"})
    async with running(generation):
        yield generation


@contextlib.asynccontextmanager
async def running(service: Service) -> AsyncIterator[Service]:
    service.roles = frozenset({"worker"})
    async with service.running():
        yield service
