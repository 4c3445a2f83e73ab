"""When a failed delivery is tried again: a schedule as data, with jitter, and the receiver's own wish."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Schedule:
    """``waits[n]`` is the time before attempt ``n``, in seconds; there are no more attempts than waits."""

    waits: Sequence[int]
    jitter: float
    retry_after_limit: timedelta

    def next_wait(self, failures: int, *, retry_after: float | None) -> float | None:
        """Seconds until the next attempt after so many failures, or None when it was the last."""
        if failures >= len(self.waits):
            return None
        wait = self.waits[failures] * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 - spreads load
        wished = min(retry_after or 0.0, self.retry_after_limit.total_seconds())
        return max(wait, wished)
