"""Runs between fork and the program itself, as its own interpreter, and becomes the program by exec.

    python -I -S launch.py PARENT DEATH_SIGNAL UID GID COMMAND...

Gives up the user id (0 keeps it), asks Linux to signal the program when its parent dies, then execs. A
`preexec_fn` would do the same inside a forked, possibly multi-threaded parent, which is unsafe. Imports the
standard library only.
"""

import os
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def main(parent: int, death_signal: int, uid: int, gid: int, *, command: list[str]) -> None:
    # Found before the user changes: the new one may not be able to read this interpreter's library.
    arm = death_signal_setter()
    if uid:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After setuid, which clears it; and the parent may have died before.
    arm(death_signal)
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    os.execv(command[0], command)  # noqa: S606  becoming the program is the point


def death_signal_setter() -> Callable[[int], object]:
    if sys.platform != "linux":
        return lambda _signal: None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda number: prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


if __name__ == "__main__":
    main(*(int(number) for number in sys.argv[1:5]), command=sys.argv[5:])
