"""Whether an outside server answers, as whoever speaks to it finds out by the way."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger()

ASK_SECONDS = 15.0


class Reachability:
    """Remembers whether ``server`` did what it was last asked for, and says so once when it goes away and once when it
    is back: ``<server>.lost``, ``<server>.returned``. Until it was asked it counts as there.
    """

    def __init__(self, server: str, **about: str) -> None:
        self.answered = True
        self._server = server
        self._about = about

    def note(self, *, answered: bool, **why: str) -> None:
        """It was asked for something just now."""
        if answered != self.answered:
            told = f"{self._server}.{'returned' if answered else 'lost'}"
            log.warning(told, **self._about, **why)
        self.answered = answered

    async def ask_while_lost(self, ask: Callable[[], Awaitable[object]]) -> None:
        """Until cancelled, ``ask`` it again while it is away: who has no need of it now would not learn of its return.

        ``ask`` notes what it finds; that it raises tells nothing more.
        """
        while True:
            await asyncio.sleep(ASK_SECONDS)
            if not self.answered:
                with contextlib.suppress(Exception):
                    await ask()
