"""Atelier beside the peer: how many jobs are accepted and completed per second, and what one costs in processor time.

Both stand on the same data servers and ask the same provider; while one is measured the other stands still, and rounds
alternate. On a busy machine only the processor time is to be trusted.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Self

from bench.figures import percentile
from bench.load import AtelierSide, PeerSide, in_turn, in_turn_by_books, post, until_done
from bench.peer.programs import Peer
from bench.servers import Atelier, Bundle, infra_cpu_seconds
from devstack.infra import Infra

ACCOUNTS = 50
WARM_UP = 200
ALONE = 60
"""Jobs posted one after the other, each when the one before is done."""
AnySide = AtelierSide | PeerSide


class Race:
    """Both sides, started, with customers."""

    def __init__(self, infra: Infra, jobs: int) -> None:
        self._infra = infra
        self._jobs = jobs
        self._atelier = Atelier(infra)
        self._peer = Peer(infra, self._atelier.provider)
        self._sides: dict[str, AnySide] = {}
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        ours, theirs = AtelierSide(self._infra, self._atelier), PeerSide(self._infra, self._peer)
        self._exits.push_async_callback(asyncio.to_thread, self._stop)
        await asyncio.to_thread(self._atelier.start)
        await ours.open(ACCOUNTS)
        self._exits.push_async_callback(ours.close)
        await theirs.open(ACCOUNTS)
        self._exits.push_async_callback(theirs.close)
        await asyncio.to_thread(self._peer.start)
        self._sides = {"Atelier": ours, "peer": theirs}
        for side in self._sides.values():
            await complete(side, WARM_UP)
            freeze(side.system)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()

    async def round(self) -> dict[str, float]:
        """Every figure of both sides once, and how they compare."""
        figures: dict[str, float] = {}
        for name, side in self._sides.items():
            thaw(side.system)
            await complete(side, WARM_UP)
            figures |= {f"{name}: {figure}": value for figure, value in (await self._measure(side)).items()}
            figures |= {f"{name}: {figure}": value for figure, value in (await alone(side)).items()}
            freeze(side.system)
        for figure in ("accepted, jobs/s", "completed, jobs/s"):
            figures[f"{figure}: Atelier / peer"] = figures[f"Atelier: {figure}"] / figures[f"peer: {figure}"]
        return figures

    async def _measure(self, side: AnySide) -> dict[str, float]:
        before = await side.done()
        side.system.pause()
        posted = await post(side, self._jobs)
        side.system.resume()
        await until_done(side, before + self._jobs)
        return {
            "accepted, jobs/s": self._jobs / posted.seconds,
            "p99 of a POST, ms": percentile(posted.latencies, 0.99) * 1000,
            **await measured(self._infra, side, self._jobs),
        }

    def _stop(self) -> None:
        for system in (self._peer, self._atelier):
            thaw(system)
            system.stop()


async def measured(infra: Infra, side: AnySide, jobs: int, *, keys: Sequence[str] | None = None) -> dict[str, float]:
    """Jobs from the first POST to the last one done, everything running: their rate and their processor time."""
    before = spent(infra, side)
    began = time.perf_counter()
    ended = await complete(side, jobs, keys=keys)
    cost = sum(spent(infra, side).values()) - sum(before.values())
    return {"completed, jobs/s": jobs / (ended - began), "processor time, ms/job": cost / jobs * 1000}


async def complete(side: AnySide, jobs: int, *, keys: Sequence[str] | None = None) -> float:
    """Post jobs and wait until they are done; the moment when they were."""
    before = await side.done()
    await post(side, jobs, keys=keys)
    return await until_done(side, before + jobs)


async def alone(side: AnySide) -> dict[str, float]:
    """Jobs that have the system for themselves, from POST to done as the customer sees it."""
    keys = side.keys[:10] * (ALONE // 10)
    if isinstance(side, AtelierSide):
        times = await in_turn(side.port, side.body, keys=keys)
    else:
        times = await in_turn_by_books(side, keys=keys)
    return {
        "POST to done when idle, p50, ms": percentile(times, 0.5),
        "POST to done when idle, p99, ms": percentile(times, 0.99),
    }


def spent(infra: Infra, side: AnySide) -> Mapping[str, float]:
    """Processor seconds so far, of programs and data servers; the provider and the customers do not count."""
    return {**side.system.cpu_seconds(), **infra_cpu_seconds(infra)}


def freeze(system: Bundle) -> None:
    for program in system.measured:
        program.pause()


def thaw(system: Bundle) -> None:
    for program in system.measured:
        program.resume()
