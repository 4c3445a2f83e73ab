"""Every part is given the time that its end needs: calls to a model that are under way are paid for."""

from pathlib import Path

import pytest

from devstack import up
from devstack.datadir import DataDir
from devstack.process import wait_until
from devstack.services import PAID_STOP_SECONDS
from devstack.stack import Options, Stack

from .conftest import Script

TAKES_A_SECOND = """
import pathlib, signal, sys, time
def end(*_):
    time.sleep(1)
    print("ended by itself", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-own")


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "GENERATION_OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def stop_seconds(stack: Stack) -> dict[str, float]:
    return {part.name: part.stop_seconds for part in stack.parts}


class TestParts:
    @pytest.mark.parametrize(("seconds", "last"), [(0.1, "ready"), (30.0, "ended by itself")])
    def test_a_part_is_killed_when_its_time_is_over(self, directory: Path, seconds: float, last: str) -> None:
        part = Script(directory, TAKES_A_SECOND)
        part.stop_seconds = seconds
        part.start()
        assert wait_until(lambda: part.child.last_line() == "ready", 20)

        part.stop()

        assert part.child.last_line() == last

    def test_generation_ends_its_calls_when_they_cost_money(self, data: DataDir, own_key: None) -> None:
        paid, played = (
            stop_seconds(Stack(data, Options(base_port=None, twins_only=twins_only))) for twins_only in (False, True)
        )

        assert paid.pop("generation") == PAID_STOP_SECONDS
        assert played.pop("generation") == max(played.values()) == max(paid.values())
        assert PAID_STOP_SECONDS + max(paid.values()) < up.DOWN_SECONDS

    def test_without_a_key_nothing_is_waited_for(self, data: DataDir) -> None:
        assert max(stop_seconds(Stack(data, Options(base_port=None))).values()) < PAID_STOP_SECONDS


class TestWords:
    def test_what_is_waited_for_is_said(self, data: DataDir, own_key: None, monkeypatch: pytest.MonkeyPatch) -> None:
        stack = Stack(data, Options(base_port=None))
        before = up.stopping(stack)
        monkeypatch.setattr(type(stack.service("generation").child), "is_running", True)

        assert before == "stopping ..."
        assert (
            up.stopping(stack) == "stopping ... (up to 180 s for calls to OpenAI that are under way: they are paid for)"
        )
