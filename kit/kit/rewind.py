"""Moves a consumer group back to a moment: after a restore, or to read a topic again. The inbox skips what is known."""

from collections.abc import Sequence
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalGenerationError, UnknownMemberIdError


class GroupActiveError(Exception):
    """The group has running members, whose commits would undo the rewind."""


async def rewind(bootstrap: str, *, group: str, topics: Sequence[str], to: datetime) -> int:
    """Set every partition of ``topics`` to the first record at or after ``to``; returns the number of partitions.

    Raises GroupActiveError when the service still runs.
    """
    await _refuse_active(bootstrap, group)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in consumer.partitions_for_topic(topic) or await _partitions(consumer, topic)
        ]
        consumer.assign(partitions)
        milliseconds = int(to.timestamp() * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, milliseconds))
        ends = await consumer.end_offsets(partitions)
        offsets = {
            partition: found[partition].offset if found.get(partition) else ends[partition] for partition in partitions
        }
        await consumer.commit(offsets)
        return len(offsets)
    except (CommitFailedError, IllegalGenerationError, UnknownMemberIdError) as error:
        raise GroupActiveError(_stop_first(group)) from error
    finally:
        await consumer.stop()


async def _refuse_active(bootstrap: str, group: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (description,) = await admin.describe_consumer_groups([group])
        members = description.groups[0][5]
    finally:
        await admin.close()
    if members:
        raise GroupActiveError(_stop_first(group))


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.add_topic(topic)  # noqa: SLF001 - no public way to learn a topic without subscribing
    return consumer.partitions_for_topic(topic) or set()


def _stop_first(group: str) -> str:
    return f"group {group} has running members; stop the service, rewind, then start it again"
