"""Moves a consumer group back to a moment: after a restore, or to read a topic again. The inbox skips what is known."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalGenerationError, UnknownMemberIdError

from kit.topics import administer

PATIENCE_SECONDS = 15.0
"""The broker forgets a killed member after the session timeout of 10 s."""


class GroupActiveError(Exception):
    """The group has running members, whose commits would undo the rewind."""


async def rewind(
    bootstrap: str, *, group: str, topics: Sequence[str], to: datetime, patience_seconds: float = PATIENCE_SECONDS
) -> int:
    """Set every partition of ``topics`` to the first record at or after ``to``; returns the number of partitions.

    Waits for members that were killed to be forgotten. Raises GroupActiveError when the service still runs then.
    """
    await _wait_for_members_to_leave(bootstrap, group, patience_seconds)
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


async def _wait_for_members_to_leave(bootstrap: str, group: str, patience_seconds: float) -> None:
    give_up_at = time.monotonic() + patience_seconds
    async with administer(bootstrap) as admin:
        while await _members(admin, group):
            if time.monotonic() >= give_up_at:
                raise GroupActiveError(_stop_first(group))
            await asyncio.sleep(0.5)


async def _members(admin: AIOKafkaAdminClient, group: str) -> int:
    (description,) = await admin.describe_consumer_groups([group])
    return len(description.groups[0][5])


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.add_topic(topic)  # noqa: SLF001 - no public way to learn a topic without subscribing
    return consumer.partitions_for_topic(topic) or set()


def _stop_first(group: str) -> str:
    return f"group {group} has running members; stop the service, rewind, then start it again"
