"""Pauses between attempts to reach a server that is away."""

import asyncio
import time

MIN_SECONDS = 0.2
MAX_SECONDS = 10.0


class Backoff:
    """Each pause is twice the one before. After an attempt that lasted, the server was there: it starts anew."""

    def __init__(self) -> None:
        self._seconds = MIN_SECONDS
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the next pause is."""
        if time.monotonic() - self._began > MAX_SECONDS:
            return MIN_SECONDS
        return self._seconds

    async def pause(self) -> None:
        """Pause; the next attempt begins after it."""
        seconds = self.seconds
        await asyncio.sleep(seconds)
        self._seconds = min(seconds * 2, MAX_SECONDS)
        self._began = time.monotonic()
