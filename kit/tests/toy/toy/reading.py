"""What a proof looks at: the toy's tables, its letters, and what Kafka holds."""

from collections import Counter

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import text

from kit import dead_letters, outbox, topics
from kit.service import Service
from shared.contract import Topic


async def counts(toy: Service) -> dict[str, int]:
    async with toy.db.read() as session:
        return {row.thing: row.count for row in await session.execute(text("SELECT thing, count FROM counts"))}


async def total(toy: Service) -> int:
    return sum((await counts(toy)).values())


async def letters(toy: Service) -> list[tuple[str, str]]:
    async with toy.db.read() as session:
        return [(letter.state, letter.key.decode()) for letter in await dead_letters.find(session)]


async def pending(toy: Service) -> int:
    async with toy.db.read() as session:
        return (await outbox.pending(session))[0]


async def make_topics(toy: Service) -> None:
    settings = toy.settings
    await topics.ensure(
        settings.kafka_bootstrap,
        toy.all_topics,
        prefix=settings.kafka_topic_prefix,
        replication=settings.kafka_replication,
    )


def name_of(toy: Service, topic: Topic) -> str:
    return toy.settings.kafka_topic_prefix + topic.name


async def log_of(toy: Service, topic: Topic) -> list[ConsumerRecord]:
    """Everything a topic holds now, in order within each partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=toy.settings.kafka_bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(name_of(toy, topic), number) for number in range(topic.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[ConsumerRecord] = []
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for fetched in (await consumer.getmany(timeout_ms=200)).values():
                records += fetched
        return records
    finally:
        await consumer.stop()


async def ids_of(toy: Service, topic: Topic) -> Counter[str]:
    """How often each event stands in a topic."""
    return Counter(dict(record.headers)["ce_id"].decode() for record in await log_of(toy, topic))


async def uncommitted(toy: Service) -> int:
    """Records of the topics that the toy reads, less those its group has acknowledged."""
    names = {name_of(toy, topic): topic.partitions for topic in toy.consumer_topics}
    partitions = [TopicPartition(name, number) for name, count in names.items() for number in range(count)]
    admin = AIOKafkaAdminClient(bootstrap_servers=toy.settings.kafka_bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=toy.settings.kafka_bootstrap)
    try:
        await admin.start()
        await consumer.start()
        committed = await admin.list_consumer_group_offsets(toy.settings.kafka_topic_prefix + toy.name)
        ends = await consumer.end_offsets(partitions)
        return sum(ends[found] - max(0, committed[found].offset if found in committed else 0) for found in partitions)
    finally:
        await consumer.stop()
        await admin.close()


async def settled(toy: Service) -> bool:
    """Nothing waits in the outbox, and all that Kafka holds is acknowledged."""
    return await pending(toy) == 0 and await uncommitted(toy) == 0
