"""Progress and wake-ups over Redis pub/sub: signals that may be lost, never facts.

Everything still works without Redis; streams then poll each second.
"""

import asyncio
import contextlib
import json
from collections import defaultdict
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

CHANNEL = "atelier:jobs"
RECONNECT_SECONDS = 2.0


class Signals:
    """Publishes and receives one kind of message: ``(job id, payload)``."""

    def __init__(self, url: str, *, namespace: str = "") -> None:
        self._redis: Redis = Redis.from_url(
            url, socket_connect_timeout=2, socket_timeout=5, health_check_interval=15, decode_responses=True
        )
        self._channel = f"{namespace}{CHANNEL}"
        self._listeners: dict[str, set[asyncio.Queue[dict[str, Any]]]] = defaultdict(set)
        self._background: set[asyncio.Task[None]] = set()
        self.connected = False

    def send(self, *messages: tuple[str, dict[str, Any]]) -> None:
        """Publish without waiting; while Redis is away only listeners of this process hear it."""
        if not self.connected:
            for job_id, payload in messages:
                self._dispatch({"job_id": job_id, **payload})
        task = asyncio.create_task(self._publish(messages))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _publish(self, messages: tuple[tuple[str, dict[str, Any]], ...]) -> None:
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with self._redis.pipeline(transaction=False) as pipeline:
                for job_id, payload in messages:
                    pipeline.publish(self._channel, json.dumps({"job_id": job_id, **payload}))
                await pipeline.execute()

    @contextlib.contextmanager
    def listen(self, job_id: str) -> Any:
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
                    while True:
                        message = await subscription.get_message(ignore_subscribe_messages=True, timeout=5.0)
                        if message is not None:
                            self._dispatch(_decode(message["data"]))
            except (RedisError, OSError, TimeoutError) as error:
                if self.connected:
                    log.warning("redis.lost", reason=repr(error))
                self.connected = False
            await asyncio.sleep(RECONNECT_SECONDS)

    def _dispatch(self, message: dict[str, Any]) -> None:
        for queue in self._listeners.get(message.get("job_id", ""), ()):
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(message)

    async def close(self) -> None:
        """Close connections."""
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._redis.aclose()


def _decode(data: str) -> dict[str, Any]:
    """A signal of ours; what anyone else publishes on the channel is for no listener."""
    try:
        message = json.loads(data)
    except ValueError:
        return {}
    return message if isinstance(message, dict) and isinstance(message.get("job_id"), str) else {}
