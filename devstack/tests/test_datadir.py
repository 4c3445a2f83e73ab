"""A data directory is one run's at a time, and only for the versions that made it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.credentials import Credentials
from devstack.datadir import DataDir
from devstack.errors import StackError

HOLDS = """
import os, pathlib, sys, time
from devstack.datadir import DataDir, Run
data = DataDir(pathlib.Path(sys.argv[1]))
assert data.acquire() is None
data.announce(Run(os.getpid(), "http://127.0.0.1:8100/enter/ticket"))
print("held", flush=True)
time.sleep(600)
"""


class TestAcquire:
    def test_a_second_run_learns_of_the_first(self, directory: Path) -> None:
        first = subprocess.Popen([sys.executable, "-c", HOLDS, directory], stdout=subprocess.PIPE, text=True)
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"

        other = DataDir(directory).acquire()

        assert other is not None
        assert (other.pid, other.url) == (first.pid, "http://127.0.0.1:8100/enter/ticket")
        first.kill()
        first.communicate()

    def test_a_killed_run_holds_nothing(self, directory: Path) -> None:
        first = subprocess.Popen([sys.executable, "-c", HOLDS, directory], stdout=subprocess.PIPE, text=True)
        assert first.stdout is not None
        first.stdout.readline()
        first.kill()
        first.communicate()
        data = DataDir(directory)

        assert data.running() is None
        assert data.acquire() is None
        data.release()

    def test_the_url_that_signs_in_is_for_nobody_else(self, directory: Path) -> None:
        (directory / "run.lock").touch(mode=0o644)
        data = DataDir(directory)

        data.acquire()

        assert (directory / "run.lock").stat().st_mode & 0o777 == 0o600
        data.release()

    def test_a_fresh_one_is_emptied_unless_a_run_has_it(self, directory: Path) -> None:
        (directory / "postgres").mkdir()
        (directory / "versions.json").write_text('{"PostgreSQL": "17"}')
        data = DataDir(directory)

        assert data.acquire(fresh=True) is None
        assert sorted(path.name for path in directory.iterdir()) == ["run.lock", "versions.json"]

        (directory / "mine").touch()
        assert DataDir(directory).acquire(fresh=True) is not None
        assert (directory / "mine").exists()
        data.release()

    def test_data_of_another_version_is_refused(self, directory: Path) -> None:
        versions = {"layout": "2", "PostgreSQL": "17", "Kafka": "4.3"}
        (directory / "versions.json").write_text(json.dumps(versions))

        with pytest.raises(StackError, match=r"made by PostgreSQL 17 and this version needs PostgreSQL 18: move"):
            DataDir(directory).acquire()

    def test_a_place_that_cannot_be_written_is_told(self, directory: Path) -> None:
        (directory / "file").touch()

        with pytest.raises(StackError, match=r"file/data is not writable \(Not a directory\): .*ATELIER_DATA"):
            DataDir(directory / "file" / "data").acquire()


class TestCredentials:
    def test_are_made_once_per_directory(self, directory: Path) -> None:
        first, again, other = (Credentials.load(directory / name) for name in ("one", "one", "two"))

        assert first == again
        assert first.valkey != other.valkey

    def test_a_damaged_file_is_told(self, directory: Path) -> None:
        (directory / "secrets.json").write_text("{")

        with pytest.raises(StackError, match=r"secrets\.json is not readable as secrets"):
            Credentials.load(directory)
