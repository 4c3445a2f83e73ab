"""Progress and wake-ups over Redis: signals that may be lost, never facts.

Pub/sub tells who listens now; the last values, kept for a while, tell who comes later. Everything still works without
Redis; streams then poll.
"""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from kit import pacing
from kit.reachability import Reachability

CHANNEL = "atelier:jobs"
RECONNECT_SECONDS = 2.0
KEEP_SECONDS = 3600
LAST_SECONDS = 1.0  # a Redis that stands still holds up no stream for longer


class Signals:
    """Publishes and receives one kind of message: ``(job id, payload)``."""

    def __init__(self, url: str, *, namespace: str = "") -> None:
        self._redis: Redis = Redis.from_url(
            url, socket_connect_timeout=2, socket_timeout=5, health_check_interval=15, decode_responses=True
        )
        self._channel = f"{namespace}{CHANNEL}"
        self._listeners: dict[str, set[asyncio.Queue[dict[str, Any]]]] = defaultdict(set)
        self._outgoing: list[dict[str, Any]] = []
        self._lasting: dict[str, list[str]] = defaultdict(list)
        self._sending: asyncio.Task[None] | None = None
        self.connected = False
        self._reachability = Reachability("redis")

    def reachable(self) -> bool:
        """Whether Redis answered when it was last spoken to; for ``/health``."""
        return self._reachability.answered

    def send(self, *messages: tuple[str, dict[str, Any]], last_of: str | None = None) -> None:
        """Publish without waiting; while Redis is away only listeners of this process hear it.

        ``last_of`` names a member of the payloads: for each of its values the last signal is kept for :meth:`last`.
        """
        signals = [{"job_id": job_id, **payload} for job_id, payload in messages]
        if not self.connected:
            self._dispatch(signals)
        self._outgoing += signals
        if last_of is not None:
            for signal in signals:
                self._lasting[self._key(signal["job_id"])] += (str(signal[last_of]), json.dumps(signal))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._publish())

    async def last(self, job_id: str) -> list[dict[str, Any]]:
        """The last signals of a job that were to be kept; nothing when Redis does not answer."""
        try:
            async with asyncio.timeout(LAST_SECONDS):
                kept = await self._redis.hvals(self._key(job_id))
        except (RedisError, OSError, TimeoutError):
            return []
        return [signal for value in kept for signal in _decode(value)]

    def _key(self, job_id: str) -> str:
        return f"{self._channel}:{job_id}"

    async def _publish(self) -> None:
        """Send everything that waits in one message and one round trip, until nothing does."""
        while self._outgoing:
            waiting, self._outgoing = self._outgoing, []
            lasting, self._lasting = self._lasting, defaultdict(list)
            pipeline = self._redis.pipeline(transaction=False)
            for key, pairs in lasting.items():  # first, so that who was told by the message finds them
                pipeline.hset(key, items=pairs)
                pipeline.expire(key, KEEP_SECONDS)
            pipeline.publish(self._channel, json.dumps(waiting))
            try:
                await pipeline.execute()
                self._reachability.note(answered=True)
            except (RedisError, OSError, TimeoutError) as error:
                self._reachability.note(answered=False, reason=repr(error))
            await pacing.rest_after(len(waiting))

    @contextlib.contextmanager
    def listen(self, job_id: str) -> Iterator[asyncio.Queue[dict[str, Any]]]:
        """A queue of the signals of one job, for as long as the block runs. Needs :meth:`run`."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=100)
        self._listeners[job_id].add(queue)
        try:
            yield queue
        finally:
            self._listeners[job_id].discard(queue)
            if not self._listeners[job_id]:
                del self._listeners[job_id]

    async def run(self) -> None:
        """Receive until cancelled and hand messages to listeners."""
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(self._channel)
                    self.connected = True
                    self._reachability.note(answered=True)
                    while True:
                        message = await subscription.get_message(ignore_subscribe_messages=True, timeout=5.0)
                        if message is not None:
                            self._dispatch(_decode(message["data"]))
            except (RedisError, OSError, TimeoutError) as error:
                self.connected = False
                self._reachability.note(answered=False, reason=repr(error))
            await asyncio.sleep(RECONNECT_SECONDS)

    async def ask_while_lost(self) -> None:
        """Learn of Redis' return also where nothing is sent; until cancelled."""
        await self._reachability.ask_while_lost(self._ping)

    async def _ping(self) -> None:
        await self._redis.ping()
        self._reachability.note(answered=True)

    def _dispatch(self, signals: Iterable[dict[str, Any]]) -> None:
        for signal in signals:
            for queue in self._listeners.get(signal["job_id"], ()):
                with contextlib.suppress(asyncio.QueueFull):
                    queue.put_nowait(signal)

    async def close(self) -> None:
        """Close connections."""
        if self._sending is not None:
            await asyncio.wait([self._sending])
        await self._redis.aclose()


def _decode(data: str | bytes) -> list[dict[str, Any]]:
    """The signals of a message or of a kept value; what anyone else puts there is for no listener."""
    try:
        message = json.loads(data)
    except ValueError:
        return []
    signals = message if isinstance(message, list) else [message]
    return [signal for signal in signals if isinstance(signal, dict) and isinstance(signal.get("job_id"), str)]
