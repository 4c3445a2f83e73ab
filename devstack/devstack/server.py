"""What every data server has in common: one child, one port, one directory.

A server keeps its port and its data from start to start, so `kill()` and `start()` together are a crash and a
restart. `start()` returns as soon as the program runs; `wait_ready()` returns when it really serves.
"""

import signal
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devstack import ports
from devstack.errors import StackError
from devstack.process import KEEP_USER, Child, User, wait_until

DEFAULT_TIMEOUT = 60.0
STOP_SECONDS = 15.0


class Server(ABC):
    """A data server that runs on this machine for one data directory."""

    def __init__(
        self,
        name: str,
        directory: Path,
        logs: Path,
        port: int,
        *,
        inner_ports: Sequence[int] = (),
        user: User = KEEP_USER,
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self.name = name
        self.directory = directory
        self.port = port
        self.inner_ports = tuple(inner_ports)
        self.stop_seconds = stop_seconds
        self.child = Child(name, logs / f"{name}.log", user=user, stop_signal=stop_signal)

    @abstractmethod
    def prepare(self) -> None:
        """Make what the first start needs; nothing to do on later ones."""

    @abstractmethod
    def command(self) -> list[str | Path]: ...

    @abstractmethod
    def is_ready(self) -> bool:
        """Ask for something that only a serving server answers."""

    def environment(self) -> Mapping[str, str] | None:
        """None: the environment of the parent."""
        return None

    def start(self) -> None:
        if self.child.is_running:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self.prepare()
        for port in (self.port, *self.inner_ports):
            self._require_free(port)
        self.child.start(self.command(), env=self.environment(), cwd=self.directory)

    def wait_ready(self, timeout: float = DEFAULT_TIMEOUT) -> None:
        if not wait_until(lambda: self._ended() or self._serves(), timeout):
            raise StackError(f"{self.name} is not ready after {timeout:.0f} s: see {self.child.log}")
        if self._ended():
            raise StackError(f"{self.name} ended at its start ({self.child.last_line()}): see {self.child.log}")

    def stop(self) -> None:
        """End it, within `stop_seconds` by itself or else by SIGKILL."""
        self.child.stop(self.stop_seconds)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.child.kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self.child.pause()

    def resume(self) -> None:
        self.child.resume()

    def _serves(self) -> bool:
        return ports.answers(self.port) and self.is_ready()

    def _ended(self) -> bool:
        return self.child.exit_code is not None

    def _require_free(self, port: int) -> None:
        # A server that just died may still be letting go of its port.
        if not wait_until(lambda: ports.is_free(port), timeout=3):
            raise StackError(
                f"port {port} for {self.name} is in use: "
                "stop what holds it, or set ATELIER_PORT_BASE to move all ports (8100 by default)"
            )


def side_by_side(action: Callable[[Server], None], servers: Sequence[Server]) -> None:
    """Do the same with all of them at once; raises the first error when all have ended."""
    if servers:
        with ThreadPoolExecutor(len(servers)) as threads:
            list(threads.map(action, servers))


def answers_ok(url: str) -> bool:
    """Whether a GET of one of our own programs is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  our own program
            return bool(answer.status == 200)
    except OSError:
        return False
