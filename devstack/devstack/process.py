"""Child processes that never outlive their parent.

A `Child` is one program with its log file. It runs in its own session, so that Ctrl-C reaches the parent alone
and the parent decides the order of the end. When the parent is killed the kernel (Linux) or a watchdog
(elsewhere) stops it. Signals that mean the whole program (kill, pause) also reach the processes it forked.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from devstack.forking import Forked, zygote

_HERE = Path(__file__).parent
# How far a correction of the clock may move the start of a process, as it is told later.
CLOCK_SLACK_SECONDS = 2.0
_LOG_LIMIT = 20 * 1024 * 1024
# The kernel ties "parent died" to the thread that forked, so every child is forked by one thread that never ends.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


@dataclass(frozen=True)
class User:
    """The user id a child runs under."""

    uid: int
    gid: int


KEEP_USER = User(0, 0)


@dataclass
class Child:
    """One program, restartable, with everything it prints in `log`."""

    name: str
    log: Path
    user: User = KEEP_USER
    stop_signal: signal.Signals = signal.SIGTERM
    guard_by_watchdog: bool = sys.platform != "linux"
    forked: bool = False
    """Whether it is one of our Python programs and starts as `python -m` by a fork."""
    _process: "subprocess.Popen[bytes] | Forked | None" = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs, and before it ever ran."""
        return self._process.poll() if self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path) -> None:
        if self.is_running:
            raise RuntimeError(f"{self.name} is already running")
        start = self._fork if self.forked else self._execute
        self._process = start(command, env, cwd)
        if self.guard_by_watchdog:
            _watchdog.guard(self._process.pid, self.stop_signal)
        self._pid_file.write_text(f"{self._process.pid} {psutil.Process(self._process.pid).create_time()}")

    def stop(self, timeout: float = 15.0) -> None:
        """Ask it to end; make it end when it does not in time."""
        if not self.is_running:
            return
        self.resume()
        self._signal(self.stop_signal)
        try:
            self._running().wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self._forget()

    def kill(self) -> None:
        """SIGKILL to the program and all it forked; returns when they are gone."""
        if not self.is_running:
            return
        family = self._family()
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self._running().wait()
        wait_until(lambda: not any(map(is_alive, family)), timeout=5)
        self._forget()

    def pause(self) -> None:
        self._signal_family(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_family(signal.SIGCONT)

    @property
    def _pid_file(self) -> Path:
        return self.log.with_suffix(".pid")

    def last_line(self) -> str:
        """The last line it printed, for a message about its end."""
        with contextlib.suppress(OSError):
            lines = self.log.read_bytes()[-4096:].decode(errors="replace").splitlines()
            return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
        return "it printed nothing"

    def _fork(self, command: Sequence[str | Path], env: Mapping[str, str] | None, cwd: Path) -> Forked:
        _spawner.submit(zygote.launch).result()
        _open_log(self.log).close()
        _python, _m, *argv = map(str, command)
        env = os.environ if env is None else env
        return zygote.start(argv, env=env, cwd=cwd, output=self.log, death_signal=self.stop_signal)

    def _execute(
        self, command: Sequence[str | Path], env: Mapping[str, str] | None, cwd: Path
    ) -> subprocess.Popen[bytes]:
        return _spawner.submit(self._spawn, command, env, cwd).result()

    def _spawn(
        self, command: Sequence[str | Path], env: Mapping[str, str] | None, cwd: Path
    ) -> subprocess.Popen[bytes]:
        launcher = [sys.executable, "-I", "-S", str(_HERE / "launch.py")]
        numbers = [os.getpid(), int(self.stop_signal), self.user.uid, self.user.gid]
        with _open_log(self.log) as log:
            return subprocess.Popen(  # noqa: S603  programs that this package names
                [*launcher, *map(str, numbers), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )

    def _running(self) -> "subprocess.Popen[bytes] | Forked":
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    def _family(self) -> list[psutil.Process]:
        """The program first: once it stands still it cannot fork any more."""
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._running().pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def _signal(self, number: signal.Signals) -> None:
        self._running().send_signal(number)

    def _signal_family(self, number: signal.Signals) -> None:
        if not self.is_running:
            return
        self._signal(number)
        for member in self._family()[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(number)

    def _forget(self) -> None:
        self._pid_file.unlink(missing_ok=True)
        if self.guard_by_watchdog:
            _watchdog.release(self._running().pid)


class _Watchdog:
    """The writing end of the watchdog's pipe; the process starts with the first child that needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipe: IO[bytes] | None = None

    def guard(self, pid: int, number: signal.Signals) -> None:
        self._write(f"+{pid} {int(number)}\n")

    def release(self, pid: int) -> None:
        self._write(f"-{pid}\n")

    def _write(self, line: str) -> None:
        with self._lock:
            pipe = self._pipe or self._start()
            pipe.write(line.encode())
            pipe.flush()

    def _start(self) -> IO[bytes]:
        process = subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-I", "-S", str(_HERE / "watchdog.py")],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        if process.stdin is None:
            raise RuntimeError("the watchdog has no pipe")
        self._pipe = process.stdin
        return self._pipe


_watchdog = _Watchdog()


def is_alive(process: psutil.Process) -> bool:
    """False for a zombie too, which only waits to be counted by whoever inherited it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop_leftovers(logs: Path, timeout: float = 10.0) -> list[str]:
    """End what an earlier parent left running with its logs in this directory; the names of what there was."""
    leftovers = {path.stem: process for path in sorted(logs.glob("*.pid")) if (process := _recorded(path))}
    for process in leftovers.values():
        process.terminate()
    wait_until(lambda: not any(map(is_alive, leftovers.values())), timeout)
    for process in filter(is_alive, leftovers.values()):
        process.kill()
    for path in logs.glob("*.pid"):
        path.unlink(missing_ok=True)
    return list(leftovers)


def _recorded(pid_file: Path) -> psutil.Process | None:
    """The process that wrote the file, unless it ended and its number went to another."""
    try:
        pid, started = pid_file.read_text().split()
        process = psutil.Process(int(pid))
        return process if abs(process.create_time() - float(started)) < CLOCK_SLACK_SECONDS else None
    except (ValueError, OSError, psutil.NoSuchProcess):
        return None


def wait_until(condition: Callable[[], bool], timeout: float, interval: float = 0.02) -> bool:
    """Poll until it holds; False when it did not in time."""
    pause = threading.Event()
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        pause.wait(interval)
    return True


def _open_log(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
