"""The commands `up`, `down` and `logs`: a stack that stays, how to end it, what its parts print."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from devstack.accounts import ensure_account, sign_in_link
from devstack.datadir import DataDir, Run
from devstack.display import Steps, say, stages
from devstack.errors import StackError
from devstack.payments import stripe_key
from devstack.process import stop_leftovers, wait_until
from devstack.server import STOP_SECONDS
from devstack.services import PAID_STOP_SECONDS, openai_key
from devstack.stack import Options, Stack

SOON_SECONDS = 20.0
DOWN_SECONDS = PAID_STOP_SECONDS + 40.0
"""Services end before servers, so the longest times of both, and some."""


def up(data: DataDir, options: Options) -> None:
    """Start everything, print one URL, stay until Ctrl-C, SIGTERM or `down`."""
    if other := data.acquire():
        say(_already_up(data, other))
        return
    ended = _end_on_signals()
    try:
        stack = Stack(data, options)
        try:
            _start(stack)
            stack.supervise(ended, lambda line: say(line, "yellow"))
        finally:
            say(stopping(stack))
            stack.stop()
    except KeyboardInterrupt:
        pass
    finally:
        data.release()
    say("Everything is stopped; the data is kept.")


def down(data: DataDir) -> None:
    """End the stack that runs on the directory, wherever it was started."""
    run = data.running()
    if run is None:
        say("Nothing is running.")
        return
    if not run.pid:
        raise StackError("Atelier is just starting: run `make down` again in a moment")
    os.kill(run.pid, signal.SIGTERM)
    if not wait_until(lambda: data.running() is None, SOON_SECONDS):
        say("Still stopping; calls to OpenAI, if any are under way, are paid for and may end by themselves.")
    if not wait_until(lambda: data.running() is None, DOWN_SECONDS - SOON_SECONDS):
        raise StackError(
            f"process {run.pid} did not stop in {DOWN_SECONDS:.0f} s: see {data.logs}, then end it yourself"
        )
    say("Everything is stopped; the data is kept.")


def stopping(stack: Stack) -> str:
    """What is said at the beginning of the end, with what may take long."""
    seconds = max((part.stop_seconds for part in stack.services if part.child.is_running), default=0.0)
    if seconds <= STOP_SECONDS:
        return "stopping ..."
    return f"stopping ... (up to {seconds:.0f} s for calls to OpenAI that are under way: they are paid for)"


def logs(data: DataDir, part: str | None, *, follow: bool, lines: int = 20) -> None:
    """The end of each log, and with `follow` what comes, until Ctrl-C."""
    files = {path.stem: path for path in sorted(data.logs.glob("*.log"))}
    if part is not None and part not in files:
        known = ", ".join(files) or "nothing was started yet"
        raise StackError(f"there is no log of {part!r}; there are: {known}")
    chosen = [files[part]] if part else list(files.values())
    width = max((len(path.stem) for path in chosen), default=0)
    for path in chosen:
        for line in path.read_text(errors="replace").splitlines()[-lines:]:
            _print_log(path, line, width)
    if follow:
        _follow(chosen, width)


def _start(stack: Stack) -> None:
    if leftovers := stop_leftovers(stack.data.logs):
        say(f"Ended what a killed run had left behind: {', '.join(leftovers)}.", "yellow")
    with stages() as bar:
        steps = Steps("starting", [part.name for part in stack.parts], bar)
        stack.start(lambda part: steps.done(part.name))
    account = ensure_account(stack)
    link = sign_in_link(stack, account)
    stack.data.announce(Run(os.getpid(), link, stack.options.base_port or 0, stack.options.kafka_brokers))
    if openai_key():
        say("Pictures come from OpenAI and cost money, because an OpenAI key is exported.", "yellow")
    if stripe_key():
        say("Credits are sold by your own Stripe account, because a Stripe key is exported.", "yellow")
    say(f"\nAtelier is up: {link}", "bold")
    say(f"The API is at {stack.url}, its key in {stack.data.path / 'account.json'}.")
    for observer in stack.observers:
        say(f"Its metrics and alerts are at {observer.url}.")
    say("Stop it with Ctrl-C here or `make down` anywhere.\n")


def _already_up(data: DataDir, run: Run) -> str:
    where = run.url or "it is still starting"
    return f"Atelier is already up (process {run.pid}, {data.path}): {where}"


def _end_on_signals() -> threading.Event:
    """SIGTERM and a closed terminal end the stack like Ctrl-C does, at any point of its start."""
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        if not ended.is_set():
            ended.set()
            raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, end)
    return ended


def _follow(paths: Sequence[Path], width: int) -> None:
    files = {path: path.open(errors="replace") for path in paths}
    for file in files.values():
        file.seek(0, os.SEEK_END)
    pause = threading.Event()
    try:
        while True:
            for path, file in files.items():
                for line in _new_lines(file):
                    _print_log(path, line, width)
            pause.wait(0.2)
    except KeyboardInterrupt:
        return


def _new_lines(file: IO[str]) -> Iterator[str]:
    while line := file.readline():
        yield line.rstrip("\n")


def _print_log(path: Path, line: str, width: int) -> None:
    say(f"{path.stem:<{width}}  {line}")
