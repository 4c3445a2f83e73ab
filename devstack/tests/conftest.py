"""Real programs on free ports and data below the test's own directory, whose name has a space in it."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.datadir import DataDir
from devstack.infra import Infra
from devstack.ports import reserve
from devstack.server import Server


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "with a space"
    path.mkdir()
    return path


@pytest.fixture
def data(directory: Path) -> Iterator[DataDir]:
    held = DataDir(directory / "data")
    assert held.acquire() is None
    yield held
    held.release()


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Infra]:
    """Every server, shared by one module's tests; a test that stops one starts it again."""
    infra = Infra(tmp_path_factory.mktemp("with a space"))
    infra.start()
    yield infra
    infra.kill()


class Script(Server):
    """A server that is a few lines of Python; `port` is free for it to use."""

    def __init__(self, directory: Path, code: str, name: str = "script") -> None:
        super().__init__(name, directory, directory / "logs", reserve(), stop_signal=signal.SIGTERM)
        self.code = code

    def prepare(self) -> None:
        pass

    def command(self) -> list[str | Path]:
        return [sys.executable, "-c", self.code, str(self.port)]

    def is_ready(self) -> bool:
        return True


LISTENS = """
import socket, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("listening", flush=True)
    time.sleep(600)
"""
