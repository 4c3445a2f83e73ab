"""Nobody who asks over HTTP waits long for a database that stands still.

A statement on a connection that hangs may last until its time is up, which has to be long enough for every slow one.
So whoever waits unusually long asks the server for a sign of life, and gives up only if there is none.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable

import asyncpg

from kit.database import Database

PATIENCE_SECONDS = 2.0
SIGN_SECONDS = 2.0


class DatabaseSilentError(ConnectionError):
    """The database does not even answer to a new connection."""


class Patience:
    """The patience of the HTTP edge of one service."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._asking: asyncio.Task[bool] | None = None
        self._lived_at = -math.inf

    @contextlib.asynccontextmanager
    async def limit(self, answered: Callable[[], bool]) -> AsyncIterator[None]:
        """End the block by DatabaseSilentError when it waits, nobody was ``answered`` and the database is silent."""
        watching: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(None) as limit:
                timer = asyncio.get_running_loop().call_later(
                    PATIENCE_SECONDS, lambda: watching.append(asyncio.create_task(self._watch(limit, answered)))
                )
                try:
                    yield
                finally:
                    timer.cancel()
                    for task in watching:
                        task.cancel()
        except TimeoutError:
            if limit.expired():
                raise DatabaseSilentError("the database does not answer") from None
            raise

    async def _watch(self, limit: asyncio.Timeout, answered: Callable[[], bool]) -> None:
        while not answered():
            if not await self._is_alive():
                limit.reschedule(0)
                return
            await asyncio.sleep(PATIENCE_SECONDS)

    async def _is_alive(self) -> bool:
        """Asked once for all who wonder, and a sign of life holds for as long as one is patient."""
        if time.monotonic() - self._lived_at < PATIENCE_SECONDS:
            return True
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(SIGN_SECONDS):
                connection = await self._db.connect()
        except asyncpg.PostgresError:
            pass  # it refuses, for example because it is full or just starts, and so it lives
        except (OSError, asyncpg.InterfaceError):
            return False
        else:
            connection.terminate()
        self._lived_at = time.monotonic()
        return True
