"""Where the time goes: samples of each service while it drains a backlog."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from bench.load import customers, post, until_done
from devstack.credentials import SERVICES
from devstack.infra import Infra

ACCOUNTS = 50
RATE = 100
WAITING = ("_worker (concurrent/futures/thread.py", "Runner.run (asyncio/runners.py")
"""Threads that wait for work; in a container the profiler cannot tell that they do."""
TOP = 40


async def profile(infra: Infra, jobs: int, output: Path) -> None:
    """Write a stack file per service to `output`, for any flame graph program, and print the dearest functions."""
    await asyncio.to_thread(output.mkdir, parents=True, exist_ok=True)
    async with customers(infra, ACCOUNTS) as side:
        side.system.pause()
        await post(side, jobs)
        side.system.resume()
        samplers = [_sample(service.child.pid, output / f"{service.name}.stacks") for service in side.system.services]
        await until_done(side, jobs)
        for sampler in samplers:
            sampler.send_signal(signal.SIGINT)  # it writes then
            sampler.wait()
    for service in SERVICES:
        print(f"\n## {service}\n{_dearest((output / f'{service}.stacks').read_text())}")


def _sample(pid: int | None, target: Path) -> subprocess.Popen[bytes]:
    py_spy = Path(sys.executable).parent / "py-spy"
    options = ["--rate", str(RATE), "--format", "raw", "--function", "--output", str(target), "--pid", str(pid)]
    return subprocess.Popen([py_spy, "record", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _dearest(stacks: str) -> str:
    """Functions by their share of the time that was worked, calls included."""
    inclusive: Counter[str] = Counter()
    total = 0
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        calls = frames.split(";")
        if calls[-1].startswith(WAITING):
            continue
        total += int(count)
        for call in set(calls):
            inclusive[call] += int(count)
    return "\n".join(f"{count / max(total, 1):6.1%}  {call}" for call, count in inclusive.most_common(TOP))
