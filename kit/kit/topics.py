"""Makes and checks topics. Only ``migrate`` makes them; consumers wait until they are there."""

from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from shared.contract import Topic

_DAY_MILLISECONDS = 24 * 60 * 60 * 1000


async def ensure(bootstrap: str, topics: Iterable[Topic], *, prefix: str, replication: int) -> list[str]:
    """Create the topics that are missing and return their names. Raises KafkaError when the broker refuses."""
    async with _admin(bootstrap) as admin:
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
    async with _admin(bootstrap) as admin:
        return set(names) - set(await admin.list_topics())


class _admin:  # noqa: N801 - reads as a function
    def __init__(self, bootstrap: str) -> None:
        self._client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=20_000)

    async def __aenter__(self) -> AIOKafkaAdminClient:
        try:
            await self._client.start()
        except BaseException:
            await self._client.close()
            raise
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
