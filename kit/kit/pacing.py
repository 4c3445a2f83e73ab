"""Under load, a short rest lets work gather, so that it comes in larger sets: fewer transactions for the same work.

Whoever works on what has arrived (consumer, relay, coalescer) rests after a large set. Small sets mean that nothing
waits, so a quiet system has no delay; under load the rest is hidden in the queue. Behind a full set there is more
already, so nobody rests after one.
"""

import asyncio

LARGE = 8
REST_SECONDS = 0.3


async def rest_after(count: int, *, full: int | None = None) -> None:
    """Let work gather if ``count`` pieces have just been done at once, unless they were the most that fit."""
    if count >= LARGE and count != full:
        await asyncio.sleep(REST_SECONDS)
