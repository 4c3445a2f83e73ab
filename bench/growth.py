"""Whether a job costs the same whatever is in the tables and whoever asks.

A backlog is drained at a flat rate; jobs cost the same with few and with many in the tables, also while somebody holds
an old snapshot open; one account that holds all jobs is served like a thousand accounts.
"""

import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from bench.load import AtelierSide, connect, customers, post, until_done
from bench.saga import WARM_UP, complete, measured
from devstack.credentials import SERVICES
from devstack.infra import Infra

ACCOUNTS = 1000
TENTHS = 10


async def growth(infra: Infra, *, backlog: int, batch: int = 1000) -> dict[str, float]:
    """All figures once: the backlog fills the tables, so there is no second round."""
    figures: dict[str, float] = {}
    async with customers(infra, ACCOUNTS) as side:
        await complete(side, WARM_UP)
        spread = await measured(infra, side, batch)
        single = await measured(infra, side, batch, keys=side.keys[:1])
        figures |= _named("1,000 accounts", spread) | _named("one account", single)
        figures["completed: one account / 1,000 accounts"] = single["completed, jobs/s"] / spread["completed, jobs/s"]
        few = await measured(infra, side, batch)
        figures |= await _drain(side, backlog)
        many = await measured(infra, side, batch)
        async with _old_snapshot(infra):
            await complete(side, batch)
            old = await measured(infra, side, batch)
        figures |= _named(f"{batch * 3:,} jobs in the tables", few)
        figures |= _named(f"{backlog + batch * 4:,} jobs in the tables", many)
        figures |= _named("the same, an old snapshot held open", old)
        cost = "processor time, ms/job"
        figures["cost of a job: many / few in the tables"] = many[cost] / few[cost]
        figures["cost of a job: with an old snapshot / few in the tables"] = old[cost] / few[cost]
    return figures


async def _drain(side: AtelierSide, backlog: int) -> dict[str, float]:
    """Post everything while nobody works, then see how fast each tenth of it gets done."""
    before = await side.done()
    side.system.pause()
    await post(side, backlog)
    side.system.resume()
    moments = [time.perf_counter()]
    for tenth in range(1, TENTHS + 1):
        moments += [await until_done(side, before + backlog * tenth // TENTHS, every=0.25)]
    rates = [backlog / TENTHS / (end - start) for start, end in itertools.pairwise(moments)]
    steady = rates[1:]  # the first tenth waits until all steps of the saga have something to do
    return {
        f"backlog of {backlog:,} jobs, completed/s": backlog / (moments[-1] - moments[0]),
        "backlog: slowest / fastest tenth": min(steady) / max(steady),
    }


@asynccontextmanager
async def _old_snapshot(infra: Infra) -> AsyncIterator[None]:
    """A transaction in every database that sees the past, so that nothing dead can be cleaned up."""
    async with AsyncExitStack() as open_ones:
        for service in SERVICES:
            connection = await connect(infra, service)
            open_ones.push_async_callback(connection.close)
            await open_ones.enter_async_context(connection.transaction(isolation="repeatable_read"))
            await connection.fetchval("SELECT count(*) FROM outbox")
        yield


def _named(what: str, figures: dict[str, float]) -> dict[str, float]:
    return {f"{what}: {name}": value for name, value in figures.items()}
