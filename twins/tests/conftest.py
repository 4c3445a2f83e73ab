"""A running twin in a process of its own, as everything else uses it: over HTTP."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from openai import OpenAI


class RunningTwin:
    def __init__(self, data: Path) -> None:
        self._data = data
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "twins", "serve", "--port", "0", "--data", str(self._data)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        announcement = self.process.stdout.readline()
        self.url = announcement.split()[-1]
        self.http = httpx.Client(base_url=self.url, timeout=30)
        assert self.http.get("/readyz").status_code == 200

    def kill(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait(timeout=10)
        self.process.stdout.close()

    def openai(self, key: str, timeout: float = 30) -> OpenAI:
        return OpenAI(api_key=key, base_url=f"{self.url}/openai/v1", max_retries=0, timeout=timeout)

    def calls(self, key: str) -> dict:
        return self.http.get("/control/calls", params={"api_key": key}).json()


@pytest.fixture(scope="session")
def twin(tmp_path_factory) -> Iterator[RunningTwin]:
    running = RunningTwin(tmp_path_factory.mktemp("twin"))
    yield running
    running.kill()


@pytest.fixture(scope="session")
def flat_twin(tmp_path_factory) -> Iterator[RunningTwin]:
    running = RunningTwin(tmp_path_factory.mktemp("flat-twin"))
    running.http.put("/control/settings", json={"art": "flat"}).raise_for_status()
    yield running
    running.kill()


@pytest.fixture
def restartable_twin(tmp_path) -> Iterator[RunningTwin]:
    running = RunningTwin(tmp_path)
    yield running
    running.kill()


@pytest.fixture
def key() -> str:
    return f"sk-{uuid4().hex}"


@pytest.fixture
def client(twin, key) -> Iterator[OpenAI]:
    with twin.openai(key) as client:
        yield client


@pytest.fixture
def flat_client(flat_twin, key) -> Iterator[OpenAI]:
    with flat_twin.openai(key) as client:
        yield client
