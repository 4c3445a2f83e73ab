"""`python -m bench`: what there is to measure, and the table."""

import argparse
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from bench import counters, idle, profile
from bench.figures import Figures, Target, heading, show
from bench.growth import growth
from bench.holds import Holds
from bench.kernel import Kernel
from bench.saga import Race
from bench.servers import running_infra
from devstack.infra import Infra

TARGETS = {
    "relay / bare producer": Target(0.4),
    "consumer edge / bare consumer": Target(0.3),
    "holds/s: one account / 1,000 accounts": Target(0.5),
    "settlements/s: one account / 1,000 accounts": Target(0.5),
    "accepted, jobs/s: Atelier / peer": Target(3),
    "completed, jobs/s: Atelier / peer": Target(1),
    "Atelier: POST to done when idle, p50, ms": Target(40, at_least=False),
    "backlog: slowest / fastest tenth": Target(0.8),
    "completed: one account / 1,000 accounts": Target(0.8),
    "cost of a job: many / few in the tables": Target(1.2, at_least=False),
    "cost of a job: with an old snapshot / few in the tables": Target(1.2, at_least=False),
    "make demo, warm, s": Target(15, at_least=False),
    "embedded system at rest, % of a core": Target(12, at_least=False),
    "embedded system at rest, MB PSS": Target(1200, at_least=False),
}
PARTS = ("kernel", "holds", "race", "growth", "counters", "idle")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    run = commands.add_parser("run", help="measure and print one Markdown table")
    run.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS), help=f"of {', '.join(PARTS)}")
    run.add_argument("--rounds", type=int, default=5)
    run.add_argument("--jobs", type=int, default=2_000, help="jobs of one round of the race")
    run.add_argument("--events", type=int, default=20_000, help="events of one round of the kernel")
    run.add_argument("--backlog", type=int, default=100_000, help="jobs that wait before they are drained")
    run.set_defaults(run=_run)
    check = commands.add_parser("check", help="compare what can be counted with baseline.json")
    check.add_argument("--jobs", type=int, default=2_000)
    check.set_defaults(run=_check)
    where = commands.add_parser("profile", help="show where the time goes")
    where.add_argument("--jobs", type=int, default=2_000)
    where.add_argument("--output", type=Path, default=Path("bench-profile"))
    where.set_defaults(run=_profile)
    arguments = parser.parse_args()
    return int(arguments.run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    figures = Figures(TARGETS)
    measure: dict[str, Callable[[], None]] = {
        "kernel": lambda: _on_infra(lambda infra: _kernel(infra, figures, arguments)),
        "holds": lambda: _on_infra(lambda infra: _holds(infra, figures, arguments)),
        "race": lambda: _on_infra(lambda infra: _race(infra, figures, arguments)),
        "growth": lambda: _on_infra(lambda infra: _growth(infra, figures, arguments)),
        "counters": lambda: _on_infra(lambda infra: _counters(infra, figures)),
        "idle": lambda: _idle(figures, arguments),
    }
    for part in arguments.parts:
        print(f"measuring {part} ...", file=sys.stderr)
        measure[part]()
    print(f"{heading()}\n\n{figures.table()}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    """Count once more before it is called a failure: on a machine that is busy just then, sets are smaller."""
    return 1 if _exceeds(arguments.jobs) and _exceeds(arguments.jobs) else 0


def _exceeds(jobs: int) -> bool:
    with running_infra() as infra:
        cost = uvloop.run(counters.count(infra, jobs))
    for title, values in (("per job", cost.totals), ("rows", cost.rows), ("S3", cost.s3)):
        print(f"{title}: {', '.join(f'{name} {show(value)}' for name, value in values.items())}")
    faults = counters.compare(cost)
    for fault in faults:
        print(fault, file=sys.stderr)
    return bool(faults)


def _profile(arguments: argparse.Namespace) -> int:
    _on_infra(lambda infra: profile.profile(infra, arguments.jobs, arguments.output))
    return 0


def _on_infra(work: Callable[[Infra], Awaitable[None]]) -> None:
    async def run() -> None:
        await work(infra)

    with running_infra() as infra:
        uvloop.run(run())


async def _kernel(infra: Infra, figures: Figures, arguments: argparse.Namespace) -> None:
    kernel = Kernel(infra, arguments.events)
    await kernel.prepare()
    await kernel.round()  # the broker compiles what is used often
    for _ in range(arguments.rounds):
        figures.add(await kernel.round())
    await kernel.close()


async def _holds(infra: Infra, figures: Figures, arguments: argparse.Namespace) -> None:
    holds = Holds(infra, arguments.jobs)
    await holds.prepare()
    for _ in range(arguments.rounds):
        figures.add(await holds.round())
    await holds.close()


async def _race(infra: Infra, figures: Figures, arguments: argparse.Namespace) -> None:
    async with Race(infra, arguments.jobs) as race:
        for _ in range(arguments.rounds):
            figures.add(await race.round())


async def _growth(infra: Infra, figures: Figures, arguments: argparse.Namespace) -> None:
    figures.add(await growth(infra, backlog=arguments.backlog))


async def _counters(infra: Infra, figures: Figures) -> None:
    cost = await counters.count(infra, 2000)
    figures.add({f"{name} per job": value for name, value in cost.totals.items()})


def _idle(figures: Figures, arguments: argparse.Namespace) -> None:
    for _ in range(min(arguments.rounds, 3)):
        figures.add(idle.idle(seconds=20))
    idle.demo()
    for _ in range(min(arguments.rounds, 3)):
        figures.add(idle.demo())


if __name__ == "__main__":
    sys.exit(main())
