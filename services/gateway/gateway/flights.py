"""One question for all who ask the same at the same time.

Whoever gives up leaves the others their answer. A question that somebody gave up, maybe because the database hangs, is
joined by nobody who comes later, and ends when nobody waits for it: it may hold a place that others need.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Flight(Generic[T]):
    """A question under way, and how many wait for its answer."""

    task: asyncio.Task[T]
    waiting: int = 0


class Flights(Generic[T]):
    """Questions under way, by what they are about."""

    def __init__(self, ask: Callable[[str], Coroutine[Any, Any, T]]) -> None:
        self._ask = ask
        self._open: dict[str, _Flight[T]] = {}

    async def ask(self, about: str) -> T:
        """The answer to a question that begins now or is under way. Raises what asking raises."""
        flight = self._open.get(about)
        if flight is None:
            flight = self._open[about] = _Flight(asyncio.create_task(self._ask(about)))
            flight.task.add_done_callback(lambda task: self._land(about, task))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            self._close(about, flight.task)
            raise
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                flight.task.cancel()

    def close(self) -> None:
        """Let nobody join what is under way: its answer may be of a time before now."""
        self._open.clear()

    def _close(self, about: str, task: asyncio.Task[T]) -> None:
        if about in self._open and self._open[about].task is task:
            del self._open[about]

    def _land(self, about: str, task: asyncio.Task[T]) -> None:
        self._close(about, task)
        if not task.cancelled():
            task.exception()  # if nobody waited for it, there is nobody to tell
