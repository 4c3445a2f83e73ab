"""Feeds the edge from Kafka: one FastStream batch subscriber over all topics of a service, group = service name.

Offsets are committed only after the edge's transaction; when the edge raises, FastStream seeks back and the batch
comes again. While Kafka or a topic is away the consumer waits and says so. Records that expired before the group had
read them are told at the start.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage
from faststream.message import StreamMessage

from kit import metrics, pacing, topics
from kit.backoff import Backoff
from kit.edge import MAX_CHUNK, Edge
from shared.contract import Topic

log = structlog.get_logger()
# Only at this level does aiokafka tell that records expired before they were read.
logging.getLogger("aiokafka.consumer.fetcher").setLevel(logging.INFO)

POLL_MS = 500
LAG_SECONDS = 5.0
# A broker that stands still is given up this long after a member of the group would be.
PATIENCE_MS = 5_000
# A broker that has just started may not know all topics yet. A group that shared partitions out at that moment shares
# them out again when it sees the others, which is at the latest after this time (aiokafka's own choice is 5 minutes).
METADATA_MAX_AGE_MS = 10_000
# uvloop tells by a RuntimeError that a connection was closed under a write, and aiokafka passes it on.
KAFKA_AWAY = (KafkaError, OSError, RuntimeError)


class MemberDiedError(RuntimeError):
    """A task of aiokafka has ended by something that aiokafka does not foresee; it would never be started again."""


class Consumer:
    """The Kafka consumer of one service process."""

    def __init__(
        self,
        edge: Edge,
        *,
        service: str,
        bootstrap: str,
        topics: Sequence[Topic],
        topic_prefix: str = "",
        session_timeout_ms: int = 10_000,
    ) -> None:
        self._edge = edge
        self._service = service
        self._bootstrap = bootstrap
        self._topics = [topic_prefix + topic.name for topic in topics]
        self._group = topic_prefix + service
        self._session_timeout_ms = session_timeout_ms
        self._subscriber: Any = None
        self._in_work: Counter[TopicPartition] = Counter()
        self._answered = True
        self._broken: Exception | None = None

    @property
    def assigned(self) -> bool:
        """Whether this process is a member of its group and has partitions, and Kafka answered when last asked."""
        consumer = getattr(self._subscriber, "consumer", None)
        return bool(consumer and consumer.assignment()) and self._answered

    async def run(self) -> None:
        """Consume until cancelled; a batch in work is finished first."""
        backoff = Backoff()
        while True:
            try:
                await self._consume()
            except KAFKA_AWAY as error:
                pause = backoff.seconds
                log.warning("consumer.waiting", service=self._service, reason=repr(error), retry_seconds=pause)
            await backoff.pause()

    async def _consume(self) -> None:
        if absent := await topics.missing(self._bootstrap, self._topics):
            log.warning("consumer.waiting", service=self._service, reason="topics are missing", topics=sorted(absent))
            return
        await self._tell_what_is_lost()
        broker = KafkaBroker(
            self._bootstrap.split(","),
            client_id=self._service,
            request_timeout_ms=self._session_timeout_ms + PATIENCE_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            apply_types=False,
            allow_auto_create_topics=False,
            ack_policy=AckPolicy.NACK_ON_ERROR,
            logger=None,
            graceful_timeout=30.0,
        )
        self._subscriber = broker.subscriber(
            *self._topics,
            batch=True,
            group_id=self._group,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            session_timeout_ms=self._session_timeout_ms,
            heartbeat_interval_ms=self._session_timeout_ms // 4,
            parser=self._parse,
            decoder=_raw,
            no_reply=True,
        )
        self._subscriber(self._deliver)
        self._subscriber.get_msg = self._poll
        self._broken = None
        self._edge.stopping.clear()
        try:
            await broker.start()
            while self._broken is None:
                await self._measure_lag()
                await asyncio.sleep(LAG_SECONDS)
            raise MemberDiedError(f"the member of the group has died: {self._broken!r}") from self._broken
        finally:
            self._edge.stopping.set()
            await asyncio.shield(self._stop(broker))

    async def _stop(self, broker: KafkaBroker) -> None:
        """A member that has died raises when it is stopped, and would keep its connections."""
        consumer = self._subscriber.consumer
        try:
            await broker.stop()
        except Exception as error:
            log.warning("consumer.abandoned", service=self._service, reason=repr(error))
            # its own way out has failed
            for connection in tuple(consumer._client._conns.values()) if consumer else ():  # noqa: SLF001
                connection.close()

    async def _deliver(self, records: Any) -> None:
        """FastStream builds a validator from this signature, so it must not name our protocol."""
        self._in_work = Counter(TopicPartition(record.topic, record.partition) for record in records)
        try:
            await self._edge.handle(records)
        finally:
            self._in_work = Counter()
        if len(records) < MAX_CHUNK:
            await pacing.rest_after(len(records))

    async def _poll(self, consumer: AIOKafkaConsumer) -> tuple[ConsumerRecord, ...]:
        """Records as soon as there are any; FastStream's own way sleeps after every empty poll, which costs each hop.

        What is raised here is no passing outage: a task of aiokafka has died. FastStream would ask it again for ever,
        without a word.
        """
        try:
            _raise_for_dead_task(consumer)
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_CHUNK)
        except Exception as error:
            self._broken = error
            raise
        return tuple(chain.from_iterable(found.values()))

    async def _parse(self, records: tuple[ConsumerRecord, ...]) -> StreamMessage[Any]:
        """Keep records as they are: the edge reads headers itself, and a malformed one must not fail its batch."""
        return KafkaAckableMessage(raw_message=records, body=b"", consumer=self._subscriber.consumer)

    async def _tell_what_is_lost(self) -> None:
        """The group goes on behind the gap by itself; only the writer can send those records again."""
        for topic, count in (await topics.expired(self._bootstrap, self._topics, group=self._group)).items():
            metrics.RECORDS_LOST.labels(self._service).inc(count)
            log.error("records.lost", service=self._service, topic=topic, count=count)

    async def _measure_lag(self) -> None:
        """Ask for the end of the log: while a batch does not get through, nothing is fetched that would tell it."""
        lag: dict[str, int] = dict.fromkeys(self._topics, 0)
        try:
            async with asyncio.timeout(LAG_SECONDS):
                for partition, records in (await self._unhandled()).items():
                    lag[partition.topic] += records
        except KAFKA_AWAY as error:
            self._answered = False
            log.warning("lag.unknown", service=self._service, reason=f"Kafka does not answer: {error!r}")
            return
        self._answered = True
        for topic, records in lag.items():
            metrics.CONSUMER_LAG.labels(self._service, topic).set(records)

    async def _unhandled(self) -> dict[TopicPartition, int]:
        consumer = self._subscriber.consumer
        assigned = consumer.assignment()
        if not assigned:
            return {}
        ends = await consumer.end_offsets(assigned)
        return {
            partition: max(0, ends[partition] - await consumer.position(partition) + self._in_work[partition])
            for partition in assigned
        }


def _raise_for_dead_task(consumer: AIOKafkaConsumer) -> None:
    """Aiokafka tells of the death of its coordinator only; without the other two it is silent for ever."""
    for task in (consumer._fetcher.error_future, consumer._client._sync_task):  # noqa: SLF001 - nothing public tells
        if task is not None and task.done() and not task.cancelled():
            raise MemberDiedError(f"{task.get_coro().__name__} has ended: {task.exception()!r}")


async def _raw(message: StreamMessage[Any]) -> Any:
    return message.raw_message
