"""Forks the Python programs of this repository from a process that has imported what they share.

    python -m devstack.zygote < REQUESTS > REPORTS

One import instead of six: most of a service's start is importing the same libraries again. A request is a line of
JSON: `argv` (module first), `env`, `cwd`, `output` and `errors` (files), `death_signal`. A report is `{"pid": ...}` for
each request in its order, and `{"pid": ..., "ended": code}` when a child has ended. The end of the requests is the end
of this process, and the kernel (Linux) ends the children with it. No thread may start before a fork, so none does here.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import sys
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from devstack.launch import death_signal_setter

SHARED = ("kit.cli", "kit.service", "kit.blobs", "kit.leases", "kit.signals", "kit.sealing", "shared.events")
READ_BYTES = 1 << 16
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def main() -> None:
    """Serve until the requests end."""
    setproctitle(_title("devstack.zygote"))  # finds the place of titles, while the environment still stands beside it
    gc.disable()  # nothing of what is imported is garbage, and children share only pages that no collection has marked
    for module in SHARED:
        importlib.import_module(module)
    gc.freeze()
    wake_up, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    arm = death_signal_setter()
    sources = selectors.DefaultSelector()
    sources.register(0, selectors.EVENT_READ)
    sources.register(wake_up, selectors.EVENT_READ)
    unread = b""
    while True:
        for key, _ in sources.select():
            data = os.read(key.fd, READ_BYTES)
            if key.fd == wake_up:
                _reap()
                continue
            if not data:
                return
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                _serve(json.loads(line), arm)


def _serve(request: dict[str, Any], arm: Any) -> None:
    zygote = os.getpid()
    pid = os.fork()
    if pid == 0:
        arm(request["death_signal"])
        if os.getppid() != zygote:
            os._exit(1)  # it died before
        _become(request)
    _report({"pid": pid})


def _become(request: dict[str, Any]) -> None:
    """Be the program, in its own session, as if it had been started by a shell."""
    code = 1
    gc.enable()
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        output, errors = (os.open(request[name], APPEND, 0o644) for name in ("output", "errors"))
        for source, target in ((nothing, 0), (output, 1), (errors, 2)):
            os.dup2(source, target)
        os.closerange(3, 256)
        os.chdir(request["cwd"])
        sys.path[0] = str(Path.cwd())  # as `python -m` has it
        os.environ.clear()
        os.environ.update(request["env"])
        sys.argv = request["argv"]
        setproctitle(_title(*sys.argv))
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _title(*argv: str) -> str:
    return " ".join([sys.executable, "-m", *argv])


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _report({"pid": ended[0], "ended": os.waitstatus_to_exitcode(ended[1])})


def _report(what: dict[str, int]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
