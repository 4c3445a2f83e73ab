"""Tells open pages that what they show has changed.

A signal carries no content: the page fetches itself again, so a missed or merged signal loses nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator

# The topic of the index page, which shows something of everything.
OVERVIEW = "overview"
MERGE_SECONDS = 0.25
KEEPALIVE_SECONDS = 15.0


class Changes:
    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)

    def announce(self, topic: str) -> None:
        for event in self._waiting.get(topic, ()):
            event.set()

    async def stream(self, topic: str) -> AsyncIterator[str]:
        """Server-sent events: one `changed` per burst of announcements, comments in between to keep it open."""
        event = asyncio.Event()
        self._waiting[topic].add(event)
        try:
            yield ": open\n\n"
            while True:
                try:
                    await asyncio.wait_for(event.wait(), KEEPALIVE_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                event.clear()
                yield "event: changed\ndata: {}\n\n"
                await asyncio.sleep(MERGE_SECONDS)
        finally:
            self._waiting[topic].discard(event)
