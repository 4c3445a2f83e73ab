"""Stops the children of a parent that died without stopping them, where the kernel cannot do it.

    python -I -S watchdog.py < PIPE

The parent holds the only writing end of the pipe and writes `+PID SIGNAL` and `-PID`. The end of the pipe is
the death of the parent: each child that is still listed gets its signal, and SIGKILL when it does not leave.
Standard library only.
"""

import contextlib
import os
import signal
import sys
import time

GRACE_SECONDS = 5.0


def main() -> None:
    children: dict[int, int] = {}
    for line in sys.stdin:
        pid, *number = line[1:].split()
        if line.startswith("+"):
            children[int(pid)] = int(number[0])
        else:
            children.pop(int(pid), None)

    for pid, number in children.items():
        _signal(pid, number)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(_signal(pid, 0) for pid in children):
        time.sleep(0.05)
    for pid in children:
        _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


if __name__ == "__main__":
    main()
