"""The two edges beside bare Kafka clients, in one process and one run.

The relay carries rows of an outbox; the bare producer sends the same records with the same settings. The consumer
edge has a handler that does nothing; the bare consumer decodes the same records and does nothing either.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client import REGISTRY
from sqlalchemy import select, text

from devstack.infra import Infra
from kit import outbox, topics
from kit.consumer import Consumer
from kit.database import Database, WriteSession
from kit.edge import MAX_CHUNK, Edge
from kit.relay import Relay
from kit.subscriptions import on
from kit.tables import metadata
from kit.tables import outbox as outbox_table
from shared.contract import Envelope
from shared.events import CreditsHeld
from shared.ids import new_id
from shared.topics import BILLING_CREDITS

NAME = "bench"
Records = list[tuple[bytes, bytes, list[tuple[str, bytes]]]]
"""Key, value and headers."""


class Kernel:
    """A database with nothing but the kernel's tables."""

    def __init__(self, infra: Infra, events: int) -> None:
        self._bootstrap = infra.kafka.bootstrap
        self._events = events
        self._db = Database(infra.postgres.create_database(NAME, NAME), name=NAME)
        self._db.before_commit(outbox.flush)

    async def prepare(self) -> None:
        async with self._db.engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        await self._db.close()

    async def round(self) -> dict[str, float]:
        """Every figure once."""
        async with self._db.engine.begin() as connection:
            await connection.execute(text("TRUNCATE outbox, inbox"))
        prefix = f"{uuid.uuid4().hex[:8]}."
        await topics.ensure(self._bootstrap, [BILLING_CREDITS], prefix=prefix, replication=1)
        await topics.ensure(self._bootstrap, [BILLING_CREDITS], prefix=f"bare-{prefix}", replication=1)
        records = await self._fill_outbox()
        relay = await self._relay(prefix)
        producer = await self._produce(f"bare-{prefix}", records)
        edge = await self._consume_by_edge(prefix)
        consumer = await self._consume(prefix)
        return {
            "relay, events/s": relay,
            "bare producer, records/s": producer,
            "relay / bare producer": relay / producer,
            "consumer edge, events/s": edge,
            "bare consumer, records/s": consumer,
            "consumer edge / bare consumer": edge / consumer,
        }

    async def _fill_outbox(self) -> Records:
        for _ in range(0, self._events, MAX_CHUNK):
            async with self._db.write() as session:
                for _ in range(MAX_CHUNK):
                    outbox.add(session, _event())
        async with self._db.read() as session:
            rows = await session.execute(select(outbox_table).order_by(outbox_table.c.id))
            return [
                (row.key.encode(), row.value, [(name, value.encode()) for name, value in row.headers.items()])
                for row in rows
            ]

    async def _relay(self, prefix: str) -> float:
        relay = Relay(self._db, service=NAME, bootstrap=self._bootstrap, topic_prefix=prefix)
        already = _counted("atelier_events_sent_total")
        async with _running(relay.run):
            await _until(lambda: relay.active)
            began = time.perf_counter()
            await _until(lambda: _counted("atelier_events_sent_total") - already >= self._events)
            return self._events / (time.perf_counter() - began)

    async def _produce(self, prefix: str, records: Records) -> float:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True, max_batch_size=256 * 1024
        )
        await producer.start()
        began = time.perf_counter()
        sent = [
            await producer.send(prefix + BILLING_CREDITS.name, value, key=key, headers=headers)
            for key, value, headers in records
        ]
        await asyncio.gather(*sent)
        rate = len(records) / (time.perf_counter() - began)
        await producer.stop()
        return rate

    async def _consume_by_edge(self, prefix: str) -> float:
        seen: list[tuple[float, int]] = []

        async def note(_session: WriteSession, events: list[CreditsHeld]) -> None:
            seen.append((time.perf_counter(), len(events)))

        edge = Edge(self._db, service=NAME, subscriptions=[on(CreditsHeld, note)])
        consumer = Consumer(
            edge, service=NAME, bootstrap=self._bootstrap, topics=[BILLING_CREDITS], topic_prefix=prefix
        )
        async with _running(consumer.run):
            await _until(lambda: sum(count for _, count in seen) >= self._events)
        return _rate(seen)

    async def _consume(self, prefix: str) -> float:
        seen: list[tuple[float, int]] = []
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, enable_auto_commit=False)
        await consumer.start()
        partitions = [TopicPartition(prefix + BILLING_CREDITS.name, number) for number in range(12)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while sum(count for _, count in seen) < self._events:
            fetched = await consumer.getmany(timeout_ms=200, max_records=MAX_CHUNK)
            seen.append((time.perf_counter(), sum(len(records) for records in fetched.values())))
            for records in fetched.values():
                for record in records:
                    CreditsHeld.decode(record.value, Envelope.from_headers(record.headers))
        seen.append((time.perf_counter(), 0))
        await consumer.stop()
        return _rate([entry for entry in seen[:-1] if entry[1]] + seen[-1:])


def _event() -> CreditsHeld:
    return CreditsHeld(
        account_id=new_id("acc"), job_id=new_id("job"), amount=4000, available=46_000, held=4000, wallet_version=2
    )


def _rate(seen: list[tuple[float, int]]) -> float:
    """Records per second between the first batch and the last, so that joining the group does not count."""
    return sum(count for _, count in seen[:-1]) / (seen[-1][0] - seen[0][0])


def _counted(name: str) -> float:
    return REGISTRY.get_sample_value(name, {"service": NAME}) or 0.0


@asynccontextmanager
async def _running(work: Callable[[], Awaitable[None]]) -> Any:
    async def run() -> None:
        await work()

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _until(condition: Callable[[], bool], *, seconds: float = 120) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - counters, which wake nobody
            await asyncio.sleep(0.005)
