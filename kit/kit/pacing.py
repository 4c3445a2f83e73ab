"""Under load, a short rest lets work gather, so that it comes in larger sets: fewer transactions for the same work.

Whoever works on what has arrived (consumer, relay, coalescer) rests after a large set. Small sets mean that nothing
waits, so a quiet system has no delay; under load the rest is hidden in the queue. Whoever can see what arrives
(:class:`Arrivals`) rests no longer than until that is enough for the next set.
"""

import asyncio
import contextlib

LARGE = 8
ENOUGH = 64
REST_SECONDS = 0.3


async def rest_after(count: int) -> None:
    """Let work gather if ``count`` pieces have just been done at once."""
    if count >= LARGE:
        await asyncio.sleep(REST_SECONDS)


class Arrivals:
    """Counts what waits to be worked on."""

    def __init__(self) -> None:
        self._waiting = 0
        self._enough = asyncio.Event()

    def add(self, count: int = 1) -> None:
        """So much more has arrived."""
        self._waiting += count
        if self._waiting >= ENOUGH:
            self._enough.set()

    def take(self, left: int = 0) -> None:
        """A set was taken, and so much was left."""
        self._waiting = 0
        self._enough.clear()
        self.add(left)

    async def rest_after(self, count: int) -> None:
        """Let work gather if ``count`` pieces have just been done at once, until enough of it waits."""
        if count >= LARGE:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REST_SECONDS):
                    await self._enough.wait()
