"""Makes and checks topics. Only ``migrate`` makes them; consumers wait until they are there."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError, TopicAlreadyExistsError, for_code
from aiokafka.structs import OffsetAndMetadata

from shared.contract import Topic

REQUEST_TIMEOUT_MS = 20_000
COORDINATOR_ATTEMPTS, COORDINATOR_PAUSE_SECONDS = 20, 0.1
_DAY_MILLISECONDS = 24 * 60 * 60 * 1000


@asynccontextmanager
async def administer(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connection to the cluster's administration."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def ensure(bootstrap: str, topics: Iterable[Topic], *, prefix: str, replication: int) -> list[str]:
    """Create the topics that are missing and return their names. Raises KafkaError when the broker refuses."""
    async with administer(bootstrap) as admin:
        present = set(await admin.list_topics())
        missing = [topic for topic in topics if prefix + topic.name not in present]
        if not missing:
            return []
        response = await admin.create_topics(
            [
                NewTopic(
                    name=prefix + topic.name,
                    num_partitions=topic.partitions,
                    replication_factor=replication,
                    topic_configs={
                        "retention.ms": str(topic.retention_days * _DAY_MILLISECONDS),
                        "min.insync.replicas": str(min(topic.min_insync_replicas, replication)),
                    },
                )
                for topic in missing
            ],
            timeout_ms=15_000,
        )
        for name, code, *detail in response.topic_errors:
            if code and for_code(code) is not TopicAlreadyExistsError:
                raise for_code(code)(f"topic {name}: {detail}")
    return [prefix + topic.name for topic in missing]


async def missing(bootstrap: str, names: Iterable[str]) -> set[str]:
    """Which of these topics do not exist."""
    async with administer(bootstrap) as admin:
        return set(names) - set(await admin.list_topics())


async def expired(bootstrap: str, names: Iterable[str], *, group: str) -> dict[str, int]:
    """How many records of each topic retention has deleted before the group had read them; only topics with losses."""
    async with administer(bootstrap) as admin:
        committed = await _committed(admin, group)
    wanted = set(names)
    read = {found: place.offset for found, place in committed.items() if found.topic in wanted and place.offset >= 0}
    if not read:
        return {}
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await consumer.start()
        begins = await consumer.beginning_offsets(list(read))
    finally:
        await consumer.stop()
    lost: Counter[str] = Counter()
    for partition, begin in begins.items():
        lost[partition.topic] += max(0, begin - read[partition])
    return dict(+lost)


async def _committed(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    """A new cluster needs a moment until somebody coordinates groups."""
    for _ in range(COORDINATOR_ATTEMPTS):
        with contextlib.suppress(GroupCoordinatorNotAvailableError):
            return dict(await admin.list_consumer_group_offsets(group))
        await asyncio.sleep(COORDINATOR_PAUSE_SECONDS)
    return dict(await admin.list_consumer_group_offsets(group))
