"""Lets writes that arrive within a few milliseconds share one transaction.

A lone write is applied at once. While a transaction runs further writes wait and form the next one, so the batch size
follows the load by itself; where answers may come a moment later, a rest after a large one makes the next one larger.
When a batch fails for a reason of one of its items, each item is applied alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Generic, TypeVar

from kit import metrics
from kit.database import Database, WriteSession, is_transient
from kit.pacing import Arrivals

T = TypeVar("T")
R = TypeVar("R")

Apply = Callable[[WriteSession, Sequence[T]], Awaitable[Sequence[R]]]


class Coalescer(Generic[T, R]):
    """Shares transactions between concurrent callers of :meth:`submit`.

    ``apply`` gets a session and the items of one transaction and returns one result per item, in order. ``rests``:
    under load an answer, and what its caller does next, may come up to ``pacing.REST_SECONDS`` later, so that there are
    fewer transactions; not for what a customer waits for.
    """

    def __init__(
        self,
        db: Database,
        apply: Apply[T, R],
        *,
        service: str,
        max_batch: int = 256,
        rests: bool = False,
    ) -> None:
        self._db = db
        self._apply = apply
        self._service = service
        self._max_batch = max_batch
        self._rests = rests
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._arrivals = Arrivals()
        self._draining: asyncio.Task[None] | None = None
        # of nobody who submits: a transaction is for many, and its logs would bear the ids of whoever came first
        self._context = copy_context()

    async def submit(self, item: T) -> R:
        """Apply ``item`` in the next transaction; returns its result once that is durable, or raises its error."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._arrivals.add()
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(), context=self._context)
        return await future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
                self._arrivals.take(left=len(self._waiting))
                await self._write(batch)
                if self._rests:
                    await self._arrivals.rest_after(len(batch))
        finally:
            # here and not in a done callback: an item that came in between would wait for the next one
            self._draining = None

    async def _write(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        batch = [(item, future) for item, future in batch if not future.done()]
        if not batch:
            return
        try:
            async with self._db.write() as session:
                results = await self._apply(session, [item for item, _ in batch])
                answers = list(zip(batch, results, strict=True))
            metrics.COALESCED.labels(self._service).observe(len(batch))
        except Exception as error:
            if len(batch) > 1 and not is_transient(error):
                for single in batch:
                    await self._write([single])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in answers:
            if not future.done():
                future.set_result(result)
