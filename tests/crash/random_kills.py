"""Random kills: a crowd of customers against the whole system while its parts are killed and stopped, then a verdict.

    JOBS=1000 FAULTS=60 SEED=7 python tests/crash/random_kills.py

The seed decides who asks for what and when, and which part is hit when; processes and the clock decide the rest.
Exits with 1 when a promise was broken.
"""

import argparse
import asyncio
import json
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from crash.crowd import Customer, Wish, enter, flat_pictures, wishes
from crash.faults import Fault, Injector, all_ready, schedule, targets
from crash.verdict import Verdict, judge, unsettled
from devstack.display import say
from devstack.stack import Stack, own_stack
from devstack.supervisor import Supervisor

CUSTOMERS = 4
HEADSTART_SECONDS = 2.0
# Short leases and timeouts, so that what a kill leaves behind is noticed within the run.
SETTINGS = {
    "GENERATION_PROVIDER_TIMEOUT": "PT5S",
    "GENERATION_STEP_LEASE": "PT36S",
    "GENERATION_DRAIN_TIMEOUT": "PT8S",
    "PUBLISHING_REQUEST_TIMEOUT": "PT5S",
    "PUBLISHING_RETRY_SCHEDULE": "[0, 1, 1, 2, 2, 4, 4, 8, 8, 16, 16]",
}


async def run(stack: Stack, *, jobs: int, seed: int, faults: list[Fault], settle_seconds: float) -> Verdict:
    """The crowd and the faults side by side, the time to settle, the verdict."""
    await flat_pictures(stack)
    customers = [await enter(stack, number) for number in range(CUSTOMERS)]
    injector = Injector(stack, faults)
    seconds = faults[-1].at + HEADSTART_SECONDS if faults else 30.0
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        group.create_task(injector.run())
        for wish in wishes(seed, jobs, CUSTOMERS, seconds):
            group.create_task(_grant(customers[wish.customer], wish))
    print(f"all were answered after {time.monotonic() - began:.0f} s", flush=True)
    await all_ready(stack.parts)
    await _settle(stack, settle_seconds)
    print(f"all was settled after {time.monotonic() - began:.0f} s", flush=True)
    verdict = await judge(stack, customers)
    verdict.numbers |= {
        "seed": seed,
        "seconds": round(time.monotonic() - began),
        "kills": dict(Counter(fault.part for fault in injector.done if not fault.pause)),
        "stops": dict(Counter(fault.part for fault in injector.done if fault.pause)),
    }
    for customer in customers:
        await customer.http.aclose()
    return verdict


async def _grant(customer: Customer, wish: Wish) -> None:
    await asyncio.sleep(wish.at)
    await customer.grant(wish)


async def _settle(stack: Stack, seconds: float) -> None:
    """Wait until nothing is left to do; what is left at the end is for the verdict to tell."""
    deadline = time.monotonic() + seconds
    while left := await unsettled(stack):
        if time.monotonic() > deadline:
            print(f"not settled after {seconds:.0f} s: {left}", flush=True)
            return
        await asyncio.sleep(1)


def main() -> int:
    """Start a stack of its own, run, tell."""
    chosen = partial(_chosen, os.environ)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=chosen("JOBS", 1000))
    parser.add_argument("--faults", type=int, default=chosen("FAULTS", 60))
    parser.add_argument("--seed", type=int, default=chosen("SEED", int(time.time())))
    parser.add_argument("--settle", type=float, default=300, help="seconds until everything must have ended")
    parser.add_argument("--kafka-brokers", type=int, choices=(1, 3), default=chosen("KAFKA_BROKERS", 1))
    arguments = parser.parse_args()
    os.environ |= SETTINGS
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of every broker that is away
    directory = Path(tempfile.mkdtemp(prefix="atelier-crash-"))
    print(f"seed {arguments.seed}: {arguments.jobs} jobs, {arguments.faults} faults", flush=True)
    with own_stack(directory, kafka_brokers=arguments.kafka_brokers) as stack, _kept_alive(stack):
        faults = schedule(arguments.seed, arguments.faults, targets(stack))
        verdict = asyncio.run(
            run(stack, jobs=arguments.jobs, seed=arguments.seed, faults=faults, settle_seconds=arguments.settle)
        )
    return _tell(verdict, directory)


@contextmanager
def _kept_alive(stack: Stack) -> Iterator[None]:
    """Nothing is essential here: whatever is killed, however often, is started again."""
    ended = threading.Event()
    supervisor = Supervisor(stack.parts, essential=())
    threading.Thread(target=supervisor.watch, args=(ended, say), daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _chosen(environment: Mapping[str, str], name: str, otherwise: int) -> int:
    """A number that the person chose, as `make test-crash JOBS=100` hands it over."""
    return int(environment.get(name) or otherwise)


def _tell(verdict: Verdict, directory: Path) -> int:
    print(json.dumps(verdict.numbers, indent=2))
    if verdict.faults:
        print("\n".join(f"BROKEN: {fault}" for fault in verdict.faults))
        print(f"the data and logs are kept in {directory}")
        return 1
    print("every promise held")
    shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
