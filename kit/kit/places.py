"""A bounded number of places that are given in turns: whoever asks for most waits longest.

Those who ask under one name are served in the order in which they came, and the names take turns.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Places:
    """``count`` places. A lone name may have them all; whoever comes next gets the next one that is free."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}  # in the order of the names' turns

    @asynccontextmanager
    async def place(self, name: str) -> AsyncIterator[None]:
        """A place for as long as the block runs."""
        await self._enter(name)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, name: str) -> None:
        if self._free and not self._lines:
            self._free -= 1
            return
        given = asyncio.get_running_loop().create_future()
        self._lines.setdefault(name, deque()).append(given)
        try:
            await given
        except asyncio.CancelledError:
            if not given.cancelled():  # it was given in the same moment
                self._leave()
            raise

    def _leave(self) -> None:
        self._free += 1
        while self._free and self._lines:
            name = next(iter(self._lines))
            line = self._lines.pop(name)
            given = line.popleft()
            if line:
                self._lines[name] = line  # behind the others
            if not given.cancelled():
                self._free -= 1
                given.set_result(None)
