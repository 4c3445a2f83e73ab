"""Figures of several rounds, and the one table that shows them.

Every figure has the values of all rounds; the table shows their median and their spread, and for a figure with a
target whether the median meets it.
"""

import os
import platform
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Target:
    """A median that is wanted: at least, or at most."""

    value: float
    at_least: bool = True

    def met(self, median: float) -> bool:
        return median >= self.value if self.at_least else median <= self.value

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.value:g}"


class Figures:
    """Collects values by name, in the order in which the names first appear."""

    def __init__(self, targets: Mapping[str, Target] | None = None) -> None:
        self._values: dict[str, list[float]] = defaultdict(list)
        self._targets = targets or {}

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._values[name].append(value)

    def table(self) -> str:
        """Markdown."""
        lines = ["| figure | median | lowest .. highest | rounds | target | met |", "|---|--:|--:|--:|--:|:-:|"]
        for name, values in self._values.items():
            median, target = statistics.median(values), self._targets.get(name)
            spread = f"{show(min(values))} .. {show(max(values))}"
            met = "" if target is None else "yes" if target.met(median) else "**no**"
            lines.append(f"| {name} | {show(median)} | {spread} | {len(values)} | {target or ''} | {met} |")
        return "\n".join(lines)


def show(value: float) -> str:
    """Three digits that matter."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def heading() -> str:
    """When, on what, and which version."""
    memory = psutil.virtual_memory().total / 1024**3
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit.stdout.strip() or 'unknown'}, {platform.system()} "
        f"{platform.machine()}, {psutil.cpu_count()} cores, {memory:.0f} GB, Python {platform.python_version()}; "
        f"load average at the end {load:.1f}"
    )
