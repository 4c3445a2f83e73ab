"""The faults of a run, drawn from a seed, and what carries them out against a running stack.

A fault kills a part (SIGKILL, the supervisor starts it again) or makes it stand still for a while (SIGSTOP). One part
is not hit again until it had time to come back; several parts may be down together.
"""

import asyncio
import random
import time
from dataclasses import dataclass

from devstack.server import Server
from devstack.stack import Stack

SECONDS_BETWEEN = (2.0, 8.0)
PAUSE_SECONDS = (1.0, 7.0)
RECOVERY_SECONDS = 12.0
KILL_SHARE = 0.65


@dataclass(frozen=True, slots=True)
class Fault:
    """``pause`` is 0 for a kill."""

    at: float
    part: str
    pause: float

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.part:<11} {f'SIGSTOP {self.pause:.1f} s' if self.pause else 'kill -9'}"


def schedule(seed: int, count: int, parts: list[str]) -> list[Fault]:
    """The faults of a seed; every part is hit before one is hit a second time."""
    draw = random.Random(seed)
    faults: list[Fault] = []
    last_hit: dict[str, float] = {}
    waiting: list[str] = []
    at = 0.0
    for _ in range(count):
        at += draw.uniform(*SECONDS_BETWEEN)
        waiting = waiting or draw.sample(parts, len(parts))
        part = waiting.pop()
        at = max(at, last_hit.get(part, -RECOVERY_SECONDS) + RECOVERY_SECONDS)
        pause = 0.0 if draw.random() < KILL_SHARE else draw.uniform(*PAUSE_SECONDS)
        last_hit[part] = at + pause
        faults.append(Fault(at, part, pause))
    return faults


class Injector:
    """Carries out a schedule; ``done`` are the faults that really hit a running part."""

    def __init__(self, stack: Stack, faults: list[Fault]) -> None:
        self._parts = {part.name: part for part in stack.parts}
        self._faults = faults
        self.done: list[Fault] = []

    async def run(self) -> None:
        """Until the last fault is over."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in self._faults:
                await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
                group.create_task(self._hit(fault))

    async def _hit(self, fault: Fault) -> None:
        part = self._parts[fault.part]
        if not part.child.is_running:
            return
        print(f"  {fault}", flush=True)
        self.done.append(fault)
        if not fault.pause:
            await asyncio.to_thread(part.kill)
            return
        part.pause()
        try:
            await asyncio.sleep(fault.pause)
        finally:
            part.resume()


def targets(stack: Stack) -> list[str]:
    """Everything but the twins, which stand for the outside world and keep the count of paid calls."""
    return [part.name for part in stack.parts if part is not stack.twins]


async def all_ready(parts: list[Server], timeout: float = 90.0) -> None:  # noqa: ASYNC109
    """Wait until every part serves again."""
    async with asyncio.timeout(timeout):
        while not all([await asyncio.to_thread(_serves, part) for part in parts]):  # noqa: ASYNC110
            await asyncio.sleep(0.5)


def _serves(part: Server) -> bool:
    return part.child.is_running and part.is_ready()
