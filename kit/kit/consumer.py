"""Feeds the edge from Kafka: one FastStream batch subscriber over all topics of a service, group = service name.

Offsets are committed only after the edge's transaction; when the edge raises, FastStream seeks back and the batch
comes again. While Kafka or a topic is away the consumer waits and says so.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage
from faststream.message import StreamMessage

from kit import metrics, topics
from kit.edge import MAX_CHUNK, Edge
from shared.contract import Topic

log = structlog.get_logger()
# Only at this level does aiokafka tell that records expired before they were read.
logging.getLogger("aiokafka.consumer.fetcher").setLevel(logging.INFO)

BATCH_TIMEOUT_MS = 10
LAG_SECONDS = 5.0
MAX_BACKOFF_SECONDS = 10.0


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

    @property
    def assigned(self) -> bool:
        """Whether this process is a member of its group and has partitions."""
        consumer = getattr(self._subscriber, "consumer", None)
        return bool(consumer and consumer.assignment())

    async def run(self) -> None:
        """Consume until cancelled; a batch in work is finished first."""
        backoff = 0.2
        while True:
            try:
                await self._consume()
            except (KafkaError, TimeoutError, OSError) as error:
                log.warning("consumer.waiting", service=self._service, reason=repr(error), retry_seconds=backoff)
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)

    async def _consume(self) -> None:
        if absent := await topics.missing(self._bootstrap, self._topics):
            log.warning("consumer.waiting", service=self._service, reason="topics are missing", topics=sorted(absent))
            return
        broker = KafkaBroker(
            self._bootstrap,
            client_id=self._service,
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
            batch_timeout_ms=BATCH_TIMEOUT_MS,
            max_records=MAX_CHUNK,
            session_timeout_ms=self._session_timeout_ms,
            heartbeat_interval_ms=self._session_timeout_ms // 4,
            parser=self._parse,
            decoder=_raw,
            no_reply=True,
        )
        self._subscriber(self._deliver)
        try:
            await broker.start()
            while True:
                await self._measure_lag()
                await asyncio.sleep(LAG_SECONDS)
        finally:
            await asyncio.shield(broker.stop())

    async def _deliver(self, records: Any) -> None:
        """FastStream builds a validator from this signature, so it must not name our protocol."""
        await self._edge.handle(records)

    async def _parse(self, records: tuple[ConsumerRecord, ...]) -> StreamMessage[Any]:
        """Keep records as they are: the edge reads headers itself, and a malformed one must not fail its batch."""
        return KafkaAckableMessage(raw_message=records, body=b"", consumer=self._subscriber.consumer)

    async def _measure_lag(self) -> None:
        consumer = self._subscriber.consumer
        lag: dict[str, int] = dict.fromkeys(self._topics, 0)
        partition: TopicPartition
        for partition in consumer.assignment():
            end = consumer.highwater(partition)
            if end is not None:
                lag[partition.topic] += max(0, end - await asyncio.wait_for(consumer.position(partition), LAG_SECONDS))
        for topic, records in lag.items():
            metrics.CONSUMER_LAG.labels(self._service, topic).set(records)


async def _raw(message: StreamMessage[Any]) -> Any:
    return message.raw_message
