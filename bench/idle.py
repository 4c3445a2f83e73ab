"""What the embedded system costs that everyone starts first: memory and processor time at rest, and `make demo`."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.figures import percentile
from bench.load import in_turn
from bench.servers import ROOT, cpu_seconds
from devstack.accounts import Account, ensure_account
from devstack.server import Server
from devstack.stack import Stack, own_stack

REST_SECONDS = 10.0
"""After the start, before anything is looked at."""
JOBS = 12  # as many as the credits of a new account pay for
FLAT = json.dumps({"kind": "image", "input": {"prompt": "[[twin:flat]] a lighthouse"}}).encode()


def idle(seconds: float) -> dict[str, float]:
    """Figures of one start, on a directory of its own."""
    scratch = tempfile.TemporaryDirectory(prefix="atelier-idle-", ignore_cleanup_errors=True)
    with scratch as directory, own_stack(Path(directory)) as stack:
        account = ensure_account(stack)
        time.sleep(REST_SECONDS)
        figures = _at_rest(stack, seconds)
        return figures | _journeys(stack, account)


def demo() -> dict[str, float]:
    """`make demo` when everything it needs is already there."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "devstack", "demo"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"the demo failed: {(done.stdout + done.stderr).strip().splitlines()[-1]}")
    return {"make demo, warm, s": time.perf_counter() - began}


def _at_rest(stack: Stack, seconds: float) -> dict[str, float]:
    before = {part.name: cpu_seconds(part.child.pid) for part in stack.parts}
    began = time.perf_counter()
    time.sleep(seconds)
    passed = time.perf_counter() - began
    shares = {part.name: (cpu_seconds(part.child.pid) - before[part.name]) / passed * 100 for part in stack.parts}
    memory = {part.name: _pss_megabytes(part) for part in stack.parts}
    return {
        "embedded system at rest, % of a core": sum(shares.values()),
        "embedded system at rest, MB PSS": sum(memory.values()),
        **{f"at rest, {name}, % of a core": share for name, share in shares.items()},
        **{f"at rest, {name}, MB PSS": megabytes for name, megabytes in memory.items()},
    }


def _journeys(stack: Stack, account: Account) -> dict[str, float]:
    """Jobs one after the other, with the twin's flat pictures."""
    before = cpu_seconds(stack.twins.child.pid)
    times = asyncio.run(in_turn(stack.addresses.ports["gateway"], FLAT, keys=[account.api_key] * JOBS))
    return {
        "POST to done with twins, p50, ms": percentile(times, 0.5),
        "twins, flat picture, processor ms/job": (cpu_seconds(stack.twins.child.pid) - before) / len(times) * 1000,
    }


def _pss_megabytes(part: Server) -> float:
    """Memory of a program and its children; what they share is counted once."""
    root = psutil.Process(part.child.pid)
    total = 0
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 1024**2
