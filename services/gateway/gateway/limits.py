"""Rate limits: token buckets in this process alone, one per account, and one per address for who is not known yet."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from gateway.errors import rate_limited

MAX_BUCKETS = 10_000
NETWORK_OF_ONE_CLIENT = 64
"""Bits of an IPv6 address that tell clients apart: the rest is chosen by the client."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimiter:
    """Lets ``burst`` requests of one name through at once and ``rate`` per second in the long run.

    Of more names than can be remembered those that came last are.
    """

    def __init__(self, *, rate: int, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = max(rate, burst)
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str) -> dict[str, str]:
        """Use up one request of this name; the headers that tell what is left. Raises Problem 429."""
        now = self._clock()
        bucket = self._buckets.setdefault(name, _Bucket(self._burst, now))
        self._buckets.move_to_end(name)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.tokens < 1:
            problem = rate_limited(math.ceil((1 - bucket.tokens) / self._rate))
            problem.headers |= self._headers(bucket)
            raise problem
        bucket.tokens -= 1
        return self._headers(bucket)

    def give_back(self, name: str) -> None:
        """The last request of this name shall not count after all."""
        if bucket := self._buckets.get(name):
            bucket.tokens += 1  # what is above the burst goes with the next request

    def _headers(self, bucket: _Bucket) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self._burst),
            "RateLimit-Remaining": str(int(bucket.tokens)),
            "RateLimit-Reset": str(math.ceil((self._burst - bucket.tokens) / self._rate)),
        }


def address_of(request: Request) -> str:
    """Where a request comes from, as far as one client can be told from another."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a socket without an address
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, NETWORK_OF_ONE_CLIENT), strict=False))
