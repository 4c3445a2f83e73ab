"""Programs that start by a fork of a process which has imported what they share; see ``zygote.py``.

One zygote serves this process. It starts with the first program and ends with this process.
"""

import atexit
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack.errors import StackError

_HERE = Path(__file__).parent
START_SECONDS = 60.0


class Forked:
    """A running program, with the part of `subprocess.Popen` that a child needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None
        self._over = threading.Event()

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        if not self._over.wait(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return self._code or 0

    def send_signal(self, number: int) -> None:
        if self._code is None:
            os.kill(self.pid, number)

    def end(self, code: int) -> None:
        """The zygote has seen its end."""
        self._code = code
        self._over.set()


class Zygote:
    """The other side of the zygote's pipes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._started: queue.Queue[Forked | None] = queue.Queue()

    def launch(self) -> None:
        """Start the zygote unless it runs; the kernel ends it with the thread that calls this."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._close()
                self._process = self._launch()

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        output: Path,
        errors: Path | None = None,
        death_signal: int = signal.SIGTERM,
    ) -> Forked:
        """Start `python -m argv`. `errors` None: they go to `output` too. Raises StackError when the zygote cannot."""
        request = {
            "argv": list(argv),
            "env": dict(env),
            "cwd": str(cwd),
            "output": str(output),
            "errors": str(errors or output),
            "death_signal": int(death_signal),
        }
        with self._lock:
            try:
                forked = self._ask(request)
            except (OSError, queue.Empty):
                forked = None
        if forked is None:
            raise StackError(f"{argv[0]} could not be started: run `make install`, then try again")
        return forked

    def _ask(self, request: Mapping[str, object]) -> Forked | None:
        if self._process is None or self._process.stdin is None:
            return None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return self._started.get(timeout=START_SECONDS)

    def _launch(self) -> subprocess.Popen[bytes]:
        self._started = queue.Queue()
        process = subprocess.Popen(  # noqa: S603  our own program
            [
                *(sys.executable, "-I", "-S", str(_HERE / "launch.py")),
                *map(str, (os.getpid(), int(signal.SIGKILL), 0, 0)),
                *(sys.executable, "-u", "-m", "devstack.zygote"),  # what its programs print is there at once
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        threading.Thread(target=_listen, args=(process, self._started), name="zygote", daemon=True).start()
        return process

    def close(self) -> None:
        """No more requests: the zygote ends, and its programs with it."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()


def _listen(process: subprocess.Popen[bytes], started: "queue.Queue[Forked | None]") -> None:
    """Take its reports until it ends; what it forked ends with it."""
    assert process.stdout is not None
    running: dict[int, Forked] = {}
    with process.stdout as reports:
        for line in reports:
            report = json.loads(line)
            if "ended" in report:
                running.pop(report["pid"]).end(report["ended"])
            else:
                running[report["pid"]] = forked = Forked(report["pid"])
                started.put(forked)
    for forked in running.values():
        forked.end(-signal.SIGTERM)
    started.put(None)


zygote = Zygote()
atexit.register(zygote.close)
