"""The command line ends in one clear line when it cannot do what it was asked."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.ports import HOST


def run(*arguments: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devstack", *arguments],
        env={**os.environ, "ATELIER_DATA": str(directory / "data"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestDown:
    def test_says_when_nothing_runs(self, directory: Path) -> None:
        done = run("down", directory=directory)

        assert (done.returncode, done.stdout) == (0, "Nothing is running.\n")


class TestRun:
    def test_needs_a_stack_that_is_up(self, directory: Path) -> None:
        done = run("run", "billing", "dead-letters", "list", directory=directory)

        assert (done.returncode, done.stderr) == (
            1,
            "atelier: Atelier is not up: run `make up` in another terminal first\n",
        )


class TestLogs:
    def test_an_unknown_part_is_answered_with_the_known_ones(self, directory: Path) -> None:
        (directory / "data/logs").mkdir(parents=True)
        (directory / "data/logs/billing.log").write_text("one\ntwo\n")

        shown, unknown = run("logs", "-n", "1", directory=directory), run("logs", "biling", directory=directory)

        assert shown.stdout == "billing  two\n"
        assert (unknown.returncode, unknown.stderr) == (1, "atelier: there is no log of 'biling'; there are: billing\n")


class TestUp:
    @pytest.mark.parametrize(
        ("environment", "line"),
        [
            ({"KAFKA_BROKERS": "2"}, "atelier: KAFKA_BROKERS=2 is not possible: say 1 or 3\n"),
            ({"KAFKA_BROKERS": "two"}, "atelier: KAFKA_BROKERS=two is not a number\n"),
            ({"S3": "minio"}, "atelier: S3=minio is unknown: say S3=nanio or S3=seaweedfs\n"),
        ],
    )
    def test_a_wrong_setting_is_one_line(self, environment: dict[str, str], line: str, directory: Path) -> None:
        done = run("up", directory=directory, **environment)

        assert (done.returncode, done.stderr) == (1, line)

    @pytest.mark.connected
    def test_a_port_in_use_is_one_line(self, directory: Path) -> None:
        with socket.create_server((HOST, 0)) as taken:
            base = taken.getsockname()[1] - 20
            done = run("up", directory=directory, ATELIER_PORT_BASE=str(base))

        assert done.returncode == 1
        assert done.stderr.startswith(f"atelier: port {base + 20} for postgres is in use")
        assert done.stderr.count("\n") == 1
