"""Ports on the loopback interface.

Ephemeral ports come from below the range that the kernel hands to outgoing connections: a client that keeps
trying to reach a stopped server could otherwise be given the server's own port, connect to itself, and block
the restart. A lock per port, held until this process ends, keeps test runs side by side from choosing the same
one.
"""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

from devstack.errors import StackError

HOST = "127.0.0.1"
_EPHEMERAL = range(20_000, 32_000)
# Never closed on purpose: a closed file gives its lock up.
_held: list[int] = []


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # A server that was killed leaves connections in TIME_WAIT, which servers ignore as well.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def answers(port: int, timeout: float = 1.0) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout):
            return True
    except OSError:
        return False


def reserve() -> int:
    """A free port that no other reservation of this user holds, until this process ends."""
    locks = Path(tempfile.gettempdir()) / f"atelier-ports-{os.geteuid()}"
    locks.mkdir(mode=0o700, exist_ok=True)
    for port in random.sample(_EPHEMERAL, len(_EPHEMERAL)):
        if _lock(locks / str(port)):
            if is_free(port):
                return port
            os.close(_held.pop())
    raise StackError(f"no port between {_EPHEMERAL.start} and {_EPHEMERAL.stop} is free: stop what holds them")


def _lock(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    _held.append(descriptor)
    return True
