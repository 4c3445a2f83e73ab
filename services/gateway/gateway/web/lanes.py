"""The braid beside a job's timeline: one lane per service, and a thread from every cause to its effects.

Rows are as tall as their text, so a row is drawn in two parts: a head of fixed height that holds the knot and the
threads that arrive in it, and a tail that stretches and holds straight lines only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

SERVICES = ("gateway", "billing", "generation", "storage", "publishing")
LANE = 18
HEAD = 48
KNOT = 31
GEOMETRY = {"width": LANE * len(SERVICES), "head": HEAD, "knot": KNOT}


@dataclass(frozen=True, slots=True)
class Thread:
    """A piece of a line in the colour of the service that it starts from."""

    service: str
    path: str


@dataclass(slots=True)
class Braid:
    """What is drawn beside one row."""

    service: str
    x: int
    head: list[Thread] = field(default_factory=list)
    tail: list[Thread] = field(default_factory=list)


def lane_of(service: str) -> int:
    """The middle of a service's lane; one that we do not know shares the last."""
    index = SERVICES.index(service) if service in SERVICES else len(SERVICES) - 1
    return LANE * index + LANE // 2


def weave(services: Sequence[str], causes: Sequence[int | None]) -> list[Braid]:
    """The braid of rows: the service of each, and the index of the earlier row that caused it, if there is one."""
    braids = [Braid(service, lane_of(service)) for service in services]
    last_effect = {cause: row for row, cause in enumerate(causes) if cause is not None}
    for start, end in last_effect.items():
        _hang(braids, start, end)
    for braid, cause in zip(braids, causes, strict=True):
        if cause is not None:
            _arrive(braids[cause], braid)
    return braids


def _hang(braids: Sequence[Braid], cause: int, last: int) -> None:
    """One thread hangs from a cause down to its last effect, through the rows between."""
    start = braids[cause]
    x, service = start.x, start.service
    start.head.append(Thread(service, f"M{x} {KNOT}V{HEAD}"))
    start.tail.append(Thread(service, f"M{x} 0V1"))
    for braid in braids[cause + 1 : last]:
        braid.head.append(Thread(service, f"M{x} 0V{HEAD}"))
        braid.tail.append(Thread(service, f"M{x} 0V1"))


def _arrive(cause: Braid, effect: Braid) -> None:
    """The thread leaves its lane in the head of the effect's row and bends to the knot."""
    if cause.x == effect.x:
        path = f"M{cause.x} 0V{KNOT}"
    else:
        path = f"M{cause.x} 0C{cause.x} {KNOT * 0.7:.1f} {effect.x} {KNOT * 0.15:.1f} {effect.x} {KNOT}"
    effect.head.append(Thread(cause.service, path))
