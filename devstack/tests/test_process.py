"""Children end when they are told to, take their own children along, and never outlive their parent."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from devstack import ports
from devstack.errors import StackError
from devstack.process import Child, is_alive, stop_leftovers, wait_until

FORKS = """
import os, time
os.fork()
print(os.getpid(), flush=True)
time.sleep(600)
"""
IGNORES_SIGTERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
PARENT = """
import pathlib, sys, time
from devstack.process import Child
child = Child("child", pathlib.Path(sys.argv[1]) / "child.log", guard_by_watchdog=sys.argv[2] == "watchdog")
child.start([sys.executable, "-c", "import time; time.sleep(600)"], cwd=pathlib.Path("."))
print(child.pid, flush=True)
time.sleep(600)
"""


def start(code: str, directory: Path) -> Child:
    child = Child("child", directory / "child.log")
    child.start([sys.executable, "-c", code], cwd=directory)
    return child


def printed(child: Child, lines: int) -> list[str]:
    assert wait_until(lambda: child.log.read_text().count("\n") >= lines, 20)
    return child.log.read_text().splitlines()


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or not is_alive(psutil.Process(pid))


class TestStop:
    def test_ends_a_child_that_ignores_the_signal(self, directory: Path) -> None:
        child = start(IGNORES_SIGTERM, directory)
        printed(child, 1)

        child.stop(timeout=0.2)

        assert not child.is_running

    def test_a_paused_child_can_be_stopped(self, directory: Path) -> None:
        child = start("print('ready', flush=True); import time; time.sleep(600)", directory)
        printed(child, 1)
        child.pause()

        child.stop()

        assert child.exit_code == -15

    def test_what_never_ran_can_be_stopped(self, directory: Path) -> None:
        child = Child("child", directory / "child.log")

        child.stop()

        assert child.exit_code is None


class TestKill:
    def test_reaches_what_the_child_forked(self, directory: Path) -> None:
        child = start(FORKS, directory)
        pids = [int(line) for line in printed(child, 2)]

        child.kill()

        assert all(is_gone(pid) for pid in pids)


class TestPause:
    def test_reaches_what_the_child_forked_and_ends_with_resume(self, directory: Path) -> None:
        child = start(FORKS, directory)
        family = [psutil.Process(int(line)) for line in printed(child, 2)]

        child.pause()
        stopped = wait_until(lambda: all(member.status() == psutil.STATUS_STOPPED for member in family), 5)
        child.resume()
        resumed = wait_until(lambda: all(member.status() == psutil.STATUS_SLEEPING for member in family), 5)

        child.kill()
        assert (stopped, resumed) == (True, True)


class TestParentIsKilled:
    @pytest.mark.parametrize("guard", ["kernel", "watchdog"])
    def test_its_children_end(self, guard: str, directory: Path) -> None:
        if guard == "kernel" and sys.platform != "linux":
            pytest.skip("only Linux tells a child that its parent died")
        parent = subprocess.Popen([sys.executable, "-c", PARENT, directory, guard], stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        child = int(parent.stdout.readline())

        parent.kill()
        parent.communicate()

        assert wait_until(lambda: is_gone(child), 10)

    def test_the_next_run_ends_what_was_left_over(self, directory: Path) -> None:
        left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (directory / "billing.pid").write_text(f"{left.pid} {psutil.Process(left.pid).create_time()}")
        (directory / "storage.pid").write_text(f"{os.getpid()} {time.time() - 86_400}")

        names = stop_leftovers(directory)

        assert names == ["billing"]
        assert left.wait(5) == -15
        assert not list(directory.glob("*.pid"))


class TestServer:
    def test_a_port_in_use_is_told_with_what_to_change(self, directory: Path) -> None:
        from .conftest import LISTENS, Script

        first, second = Script(directory, LISTENS), Script(directory, LISTENS, name="second")
        second.port = first.port
        first.start()
        first.wait_ready()

        with pytest.raises(StackError, match=rf"port {first.port} for second is in use: .*ATELIER_PORT_BASE"):
            second.start()

        first.stop()

    def test_an_end_at_the_start_is_told_with_its_last_words(self, directory: Path) -> None:
        from .conftest import Script

        server = Script(directory, "print('out of cheese'); raise SystemExit(3)")
        server.start()

        with pytest.raises(StackError, match=r"script ended at its start \(out of cheese\): see .*script\.log"):
            server.wait_ready()


class TestReserve:
    def test_never_gives_the_same_port_twice(self) -> None:
        taken = [ports.reserve() for _ in range(50)]

        assert len(set(taken)) == 50
        assert all(ports.is_free(port) for port in taken)
