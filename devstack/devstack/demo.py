"""`demo`: everything started, one picture made from request to delivery, everything stopped again.

Uses a data directory of its own that is removed afterwards, any free ports, and the twins alone, so it costs
nothing and disturbs nothing. The picture stays in `demo-output/`.
"""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.progress import Progress

from devstack.accounts import Account, ensure_account
from devstack.datadir import DataDir, default_path
from devstack.display import Steps, say, stages, table
from devstack.errors import StackError
from devstack.journey import DELIVERED, KEPT, MADE, PAID, SETTLED, Client, Entry, Fact, Picture
from devstack.receiver import Receiver
from devstack.stack import Options, Stack

PROMPT = "a lighthouse above a stormy sea at dusk, oil painting"
OUTPUT = Path("demo-output")
# What has to be known of the job before a stage is over.
STAGES = {"accept": [], "pay": [PAID], "make": [MADE], "keep": [KEPT], "deliver": [DELIVERED, SETTLED]}
JOB_SECONDS = 90.0


@dataclass(frozen=True)
class Journey:
    """What is worth showing of a finished job."""

    job_id: str
    picture: Picture
    timeline: list[Fact]
    ledger: list[Entry]
    verdict: str


def demo() -> None:
    began = time.monotonic()
    prompt = os.environ.get("PROMPT") or PROMPT
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _scratch_stack() as stack:
        with stages() as bar:
            account = _start(stack, bar)
            journey = _make_picture(stack, account, prompt, bar)
        path = _save(journey.picture, journey.job_id)
        _show(journey)
    say(
        f"\n{path}  made, paid, kept and delivered in {time.monotonic() - began:.1f} s, start and stop included", "bold"
    )
    say("`make up` starts the same and stays.")


@contextmanager
def _scratch_stack() -> Iterator[Stack]:
    """A stack on a directory of its own, removed in the end; after a failure it is kept for its logs."""
    data = DataDir(default_path() / "demo")
    if other := data.acquire(fresh=True):
        raise StackError(f"another demo is running (process {other.pid}): wait for it or end it")
    stack = Stack(data, Options(base_port=None, twins_only=True, record_archive=True))
    failed = False
    try:
        yield stack
    except StackError:
        failed = True
        raise
    finally:
        stack.stop()
        data.release()
        if not failed:
            shutil.rmtree(data.path, ignore_errors=True)


def _start(stack: Stack, bar: Progress | None) -> Account:
    steps = Steps("start", [*(part.name for part in stack.parts), "account"], bar)
    stack.start(lambda part: steps.done(part.name))
    account = ensure_account(stack)
    steps.done("account")
    return account


def _make_picture(stack: Stack, account: Account, prompt: str, bar: Progress | None) -> Journey:
    steps = {stage: Steps(stage, facts or ["job"], bar) for stage, facts in STAGES.items()}
    receiver = Receiver(stack)
    receiver.open()
    with Client(stack.url, account.api_key) as client:
        job_id = client.request_picture(prompt, {"url": receiver.url, "secret": receiver.secret})
        steps["accept"].done("job")
        for fact in client.watch(job_id, JOB_SECONDS):
            for stage in steps.values():
                stage.done(fact.name)
        verdict = receiver.verdict()
        if verdict != "valid":
            raise StackError(f"the delivery's signature is {verdict}, as the receiver sees it")
        return Journey(job_id, client.picture(job_id), client.timeline(job_id), client.ledger(job_id), verdict)


def _save(picture: Picture, job_id: str) -> Path:
    OUTPUT.mkdir(exist_ok=True)
    path = OUTPUT / f"{job_id}.{picture.media_type.rpartition('/')[2]}"
    path.write_bytes(picture.content)
    return path


def _show(journey: Journey) -> None:
    first = datetime.fromisoformat(journey.timeline[0].time)
    table(
        f"Timeline of {journey.job_id}",
        ("seq", "after", "service", "event"),
        [
            (str(fact.seq), f"{(datetime.fromisoformat(fact.time) - first).total_seconds() * 1000:.0f} ms",
             fact.service, fact.name)
            for fact in journey.timeline
        ],
        right=("seq", "after"),
    )  # fmt: skip
    table(
        "Ledger of this job, in credits",
        ("transaction", "account", "amount"),
        [(entry.transaction, entry.account, f"{entry.amount / 1000:+.3f}") for entry in journey.ledger],
        right=("amount",),
    )
    say(f"\nThe webhook's signature is {journey.verdict}, checked by the receiver.")
