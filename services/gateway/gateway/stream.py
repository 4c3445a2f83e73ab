"""Live streams: the journal of a job as server-sent events, and progress between them.

The id of an event is its number in the journal, so a client that comes back with ``Last-Event-ID`` misses nothing.
Signals only wake a stream; what it sends is read from the database, and without signals it looks there by itself.
A stream that opens in the middle of a job shows the last progress of each item at once, behind the journal.
It ends when the credentials that opened it do.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.types import Receive, Scope, Send

from gateway import journal
from gateway.errors import too_many_streams
from gateway.jobs import get_job, get_state, is_complete, is_finished
from kit.database import Database
from kit.places import Turns
from kit.signals import Signals

KEEPALIVE_SECONDS = 15.0
POLL_SECONDS = (1.0, 1.0, 1.0, 2.0, 4.0, 5.0)
"""Between looks that found nothing; the last goes on."""
SIGNALLED_POLL_SECONDS = 3.0  # a signal may be lost
JITTER = 0.2

Queue = asyncio.Queue[dict[str, Any]]


class Pace:
    """How often to look into the database when no signal comes: without signals more rarely, the longer it is quiet."""

    def __init__(self, has_signals: Callable[[], bool]) -> None:
        self._has_signals = has_signals
        self._looks = 0

    def wait(self) -> float:
        """Seconds until the next look."""
        looks, self._looks = self._looks, min(self._looks + 1, len(POLL_SECONDS) - 1)
        seconds = SIGNALLED_POLL_SECONDS if self._has_signals() else POLL_SECONDS[looks]
        return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load

    def begin_anew(self) -> None:
        """There was something new, so more may follow soon."""
        self._looks = 0


class EventStream(StreamingResponse):
    """An answer that goes on; it takes a seat only when it begins, and leaves it however it ends."""

    def __init__(self, events: AsyncIterator[bytes], seat: AbstractContextManager[None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._seat = seat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._seat:
            await super().__call__(scope, receive, send)


class Streams:
    """Follows jobs, ``most`` at a time for one account. ``stopping`` tells when this process wants to end."""

    def __init__(self, db: Database, signals: Signals, *, most: int) -> None:
        self._db = db
        self._signals = signals
        self._seats = Turns(most, too_many_streams)
        self.stopping: Callable[[], bool] = lambda: False

    def open(
        self, *, account_id: str, job_id: str, after: int, is_allowed: Callable[[], Awaitable[bool]]
    ) -> EventStream:
        """The stream of a job as an answer, which is a Problem 429 when the account has too many open."""
        events = self.follow(account_id=account_id, job_id=job_id, after=after, is_allowed=is_allowed)
        return EventStream(events, self._seats.turn(account_id))

    async def follow(
        self, *, account_id: str, job_id: str, after: int, is_allowed: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[bytes]:
        """Everything behind ``after``, as it comes, until nothing more can or ``is_allowed`` says no."""
        quiet_since = time.monotonic()
        caught_up = False
        pace = self._pace()
        with self._signals.listen(job_id) as queue:
            while await is_allowed():
                async with self._db.place(of=account_id), self._db.read() as session:
                    state = await get_state(session, account_id=account_id, job_id=job_id)
                    events = await journal.read(session, job_id=job_id, after=after)
                if events:
                    pace.begin_anew()
                for event in events:
                    after = event.seq
                    quiet_since = time.monotonic()
                    yield format_sse_event(data_str=event.model_dump_json(), id=str(event.seq))
                if is_complete(state) or self.stopping():
                    return
                if not (caught_up or is_finished(state)):
                    for message in await self._signals.last(job_id):
                        yield _progress_event(message)
                caught_up = True
                async for message in _progress(queue, until=time.monotonic() + pace.wait()):
                    quiet_since = time.monotonic()
                    yield _progress_event(message)
                if time.monotonic() - quiet_since >= KEEPALIVE_SECONDS:
                    quiet_since = time.monotonic()
                    yield KEEPALIVE_COMMENT

    def wake(self, job_id: str) -> None:
        """Tell the streams of a job, in every process, that its journal has grown."""
        self._signals.send((job_id, {"type": "event"}))

    async def until_finished(self, *, account_id: str, job_id: str, seconds: float) -> Any:
        """The row of the job once it has ended, or as it is after ``seconds``; at once without a free seat."""
        if self._seats.are_taken(account_id):
            async with self._db.place(of=account_id), self._db.read() as session:
                return await get_job(session, account_id=account_id, job_id=job_id)
        deadline = time.monotonic() + seconds
        pace = self._pace()
        with self._seats.turn(account_id), self._signals.listen(job_id) as queue:
            while True:
                async with self._db.place(of=account_id), self._db.read() as session:
                    state = await get_state(session, account_id=account_id, job_id=job_id)
                    if is_finished(state) or time.monotonic() >= deadline or self.stopping():
                        return await get_job(session, account_id=account_id, job_id=job_id)
                look_again = min(time.monotonic() + pace.wait(), deadline)
                while (message := await _get(queue, until=look_again)) and not message.get("finished"):
                    pass

    def _pace(self) -> Pace:
        return Pace(lambda: self._signals.connected)


async def _progress(queue: Queue, *, until: float) -> AsyncIterator[dict[str, Any]]:
    """Progress messages until there may be a new event."""
    while (message := await _get(queue, until=until)) and message["type"] != "event":
        yield message


def _progress_event(message: dict[str, Any]) -> bytes:
    progress = {name: value for name, value in message.items() if name != "type"}
    return format_sse_event(data_str=json.dumps(progress), event="progress")


async def _get(queue: Queue, *, until: float) -> dict[str, Any] | None:
    try:
        # not wait_for: until Python 3.12 it loses a cancellation that meets the signal
        async with asyncio.timeout(max(0.0, until - time.monotonic())):
            return await queue.get()
    except TimeoutError:
        return None
