"""Waiting for a condition instead of a time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

T = TypeVar("T")

PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 1.0


async def eventually(condition: Callable[[], T | Awaitable[T]], *, timeout: float = 10.0) -> T:  # noqa: ASYNC109
    """The first truthy result of ``condition``. Raises AssertionError with the last one after ``timeout`` seconds.

    A condition that takes long is asked less often, so that asking takes a quarter of the time at most.
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while (began := time.monotonic()) < deadline:
        try:
            result = condition()
            if inspect.isawaitable(result):
                result = await result
            if result:
                return cast("T", result)
            last = result
        except Exception as error:
            last = error
        await asyncio.sleep(min(max(PAUSE_SECONDS, 3 * (time.monotonic() - began)), LONGEST_PAUSE_SECONDS))
    raise AssertionError(f"still not true after {timeout} s; last: {last!r}")
