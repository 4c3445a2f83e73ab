"""Rate limits: a token bucket per API key or session, in this process alone, told with every answer."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import rate_limited

MAX_BUCKETS = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimiter:
    """Lets ``burst`` requests of one caller through at once and ``rate`` per second in the long run."""

    def __init__(self, *, rate: int, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = max(rate, burst)
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, caller: str) -> dict[str, str]:
        """Use up one request of this caller; the headers that tell what is left. Raises Problem 429."""
        now = self._clock()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._open(caller, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.tokens < 1:
            problem = rate_limited(math.ceil((1 - bucket.tokens) / self._rate))
            problem.headers |= self._headers(bucket)
            raise problem
        bucket.tokens -= 1
        return self._headers(bucket)

    def _open(self, caller: str, now: float) -> _Bucket:
        if len(self._buckets) >= MAX_BUCKETS:
            full_again = now - self._burst / self._rate
            self._buckets = {name: bucket for name, bucket in self._buckets.items() if bucket.at > full_again}
        return self._buckets.setdefault(caller, _Bucket(self._burst, now))

    def _headers(self, bucket: _Bucket) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self._burst),
            "RateLimit-Remaining": str(int(bucket.tokens)),
            "RateLimit-Reset": str(math.ceil((self._burst - bucket.tokens) / self._rate)),
        }
