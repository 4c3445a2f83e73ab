"""The consumer on Apache Kafka: whatever is delivered twice, late or broken, each event counts exactly once."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from aiokafka import AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.produce import ProduceRequest
from prometheus_client import REGISTRY
from sqlalchemy import text

from kit import consumer, dead_letters, edge, outbox
from kit.rewind import GroupActiveError, rewind
from kit.service import Service
from kit.testing import eventually, records
from shared.contract import Event
from toy.app import build
from toy.events import JARS, MARKS, JarClosed, JarFilled, LidFound, MarkErased, MarkMade
from toy.process import toy_process
from toy.reading import counts, ids_of, letters, log_of, make_topics, name_of, settled, total, uncommitted

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def emit(toy: Service, *events: Event) -> None:
    async with toy.db.write() as session:
        for event in events:
            outbox.add(session, event)


async def _handler_is_closed(*_: Any) -> None:
    raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


async def _database_is_away(*_: Any) -> None:
    raise ConnectionRefusedError


async def settle(toy: Service) -> None:
    """Run the toy until everything is sent and acknowledged."""
    async with toy.running():
        await eventually(lambda: settled(toy))


def again(toy: Service, *, roles: str = "relay,consumer") -> Service:
    """A second process of the same service, as far as PostgreSQL and Kafka can tell."""
    other = build(toy.settings)
    other.roles = frozenset(roles.split(","))
    return other


def duplicates() -> float:
    labels = {"service": "toy", "type": MarkMade.wire_type, "outcome": "duplicate"}
    return REGISTRY.get_sample_value("atelier_messages_total", labels) or 0.0


async def produce(toy: Service, *raw: dict[str, Any]) -> None:
    """Records as some other program may write them."""
    async with AIOKafkaProducer(bootstrap_servers=toy.settings.kafka_bootstrap) as producer:
        for record in raw:
            await producer.send_and_wait(name_of(toy, MARKS), **record)


async def blocked_batches(toy: Service) -> int:
    """Transactions of this database that wait for a lock."""
    async with toy.db.read() as session:
        query = text(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database())"
        )
        return int((await session.execute(query)).scalar_one())


class TestMember:
    async def test_one_that_died_of_something_unforeseen_is_replaced(self, toy_on_kafka: Service) -> None:
        """As after an outage in which aiokafka wrote to a connection that uvloop had closed."""
        toy = toy_on_kafka
        async with toy.running():
            await eventually(lambda: toy.consumer.assigned, timeout=30)
            coordinator = toy.consumer._subscriber.consumer._coordinator
            coordinator.ensure_coordinator_known = _handler_is_closed
            coordinator.request_rejoin()
            await eventually(coordinator._coordination_task.done)
            await emit(toy, MarkMade(thing="a"))

            await eventually(lambda: _counted(toy, 1), timeout=40)

        assert await counts(toy) == {"a": 1}

    @pytest.mark.parametrize("part", ["fetcher", "metadata"])
    async def test_one_whose_parts_died_is_replaced(self, toy_on_kafka: Service, part: str) -> None:
        """Nobody asks aiokafka for these: it fetches nothing any more, or looks for a leader for ever."""
        toy = toy_on_kafka
        async with toy.running():
            await eventually(lambda: toy.consumer.assigned, timeout=30)
            member = toy.consumer._subscriber.consumer
            if part == "fetcher":
                member._fetcher._proc_fetch_request = _handler_is_closed
                await eventually(member._fetcher.error_future.done, timeout=30)
            else:
                member._client._metadata_update = _handler_is_closed
                member._client.force_metadata_update()
                await eventually(member._client._sync_task.done, timeout=30)  # one that is under way ends first
            await emit(toy, MarkMade(thing="a"))

            await eventually(lambda: _counted(toy, 1), timeout=40)

        assert await counts(toy) == {"a": 1}

    async def test_what_is_asked_of_kafka_besides_ends_no_role(
        self, toy_on_kafka: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        toy = toy_on_kafka
        monkeypatch.setattr(consumer, "LAG_SECONDS", 0.1)
        with structlog.testing.capture_logs() as logs, monkeypatch.context() as patch:
            patch.setattr(AIOKafkaConsumer, "end_offsets", _handler_is_closed)
            async with toy.running():
                await eventually(lambda: [entry for entry in logs if entry["event"] == "lag.unknown"], timeout=30)
                await emit(toy, MarkMade(thing="a"))
                await eventually(lambda: _counted(toy, 1))

        assert not [entry for entry in logs if entry["event"] == "role.died"]

    async def test_a_stop_does_not_wait_for_a_batch_that_pauses(
        self, toy_on_kafka: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        toy = toy_on_kafka
        monkeypatch.setattr(edge, "RETRY_SECONDS", 600.0)
        await emit(toy, MarkMade(thing="a"))
        with structlog.testing.capture_logs() as logs:
            async with asyncio.timeout(60), toy.running():
                with monkeypatch.context() as patch:
                    patch.setattr(toy.edge, "_settle", _database_is_away)
                    await eventually(lambda: [entry for entry in logs if entry["event"] == "batch.delayed"], timeout=30)

        assert await counts(toy) == {}
        assert await uncommitted(toy) == 1


class TestAcknowledgement:
    async def test_a_crash_between_commit_and_ack_delivers_again_and_counts_once(
        self, toy_on_kafka: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        toy = toy_on_kafka
        await emit(toy, *(MarkMade(thing=thing) for thing in "aabcc"))
        with monkeypatch.context() as patch:
            patch.setattr(AIOKafkaConsumer, "commit", _never_arrives)
            async with toy.running():
                await eventually(lambda: _counted(toy, 5))
        assert await uncommitted(toy) == 5
        before = duplicates()

        await settle(again(toy))

        assert await counts(toy) == {"a": 2, "b": 1, "c": 2}
        assert duplicates() - before == 5

    async def test_nothing_is_acknowledged_before_its_transaction(self, toy_on_kafka: Service) -> None:
        toy = toy_on_kafka
        await emit(toy, MarkMade(thing="a"))
        async with again(toy).running():
            async with toy.db.write() as session:
                await session.execute(text("LOCK TABLE counts IN ACCESS EXCLUSIVE MODE"))
                await eventually(lambda: blocked_batches(toy))
                assert await uncommitted(toy) == 1
            await eventually(lambda: settled(toy))

        assert await counts(toy) == {"a": 1}


class TestRebalance:
    async def test_a_member_that_joins_during_a_batch_leaves_every_count_exact(self, toy_on_kafka: Service) -> None:
        toy = toy_on_kafka
        await emit(toy, *(MarkMade(thing=f"thing-{number % 20}") for number in range(200)))
        joining = again(toy, roles="consumer")
        async with again(toy).running(), toy.db.write() as session:
            await session.execute(text("LOCK TABLE counts IN ACCESS EXCLUSIVE MODE"))
            await eventually(lambda: blocked_batches(toy))
            async with joining.running():
                await eventually(lambda: joining.consumer.assigned)
                await eventually(lambda: _at_least(blocked_batches(toy), 2))
                await session.rollback()
                await eventually(lambda: settled(toy))

        assert await counts(toy) == {f"thing-{number}": 10 for number in range(20)}
        assert await letters(toy) == []

    async def test_a_member_that_stops_during_its_batch_finishes_it(self, toy_on_kafka: Service) -> None:
        toy = toy_on_kafka
        leaving, staying = again(toy, roles="consumer"), again(toy)
        async with staying.running():
            leave = asyncio.Event()
            left = asyncio.create_task(_run_until(leaving, leave))
            await eventually(lambda: leaving.consumer.assigned and staying.consumer.assigned)
            async with toy.db.write() as session:
                await session.execute(text("LOCK TABLE counts IN ACCESS EXCLUSIVE MODE"))
                await emit(toy, *(MarkMade(thing=f"thing-{number % 20}") for number in range(200)))
                await eventually(lambda: _at_least(blocked_batches(toy), 2))
                leave.set()
                await eventually(lambda: leaving.stopping)
            await left
            await eventually(lambda: settled(toy))

        assert await counts(toy) == {f"thing-{number}": 10 for number in range(20)}
        assert await letters(toy) == []


class TestPoison:
    async def test_a_poison_message_parks_its_key_until_a_replay(self, toy_on_kafka: Service) -> None:
        toy = toy_on_kafka
        await emit(toy, MarkMade(thing="a", weight=5000))
        await emit(toy, MarkMade(thing="a"), MarkErased(thing="a"), MarkMade(thing="b"))

        await settle(toy)
        assert await letters(toy) == [("dead", "a"), ("parked", "a"), ("parked", "a")]
        assert await counts(toy) == {"b": 1}

        async with toy.db.write() as session:
            await session.execute(text("ALTER TABLE counts DROP CONSTRAINT counts_below_thousand"))
        assert await dead_letters.replay(toy.db, toy.edge) == (3, 0)
        await emit(toy, MarkMade(thing="a"))
        await settle(again(toy))

        assert await counts(toy) == {"a": 5001, "b": 1}
        assert await letters(toy) == []

    async def test_records_that_are_not_ours_die_or_are_ignored_and_the_partition_goes_on(
        self, toy_on_kafka: Service
    ) -> None:
        toy = toy_on_kafka
        (good,) = records(MarkMade(thing="good"))
        headers = dict(good.headers)
        await produce(
            toy,
            {"value": b"no headers at all", "partition": 0},
            {"value": b"{}", "headers": [("ce_type", b"com.example.other")], "partition": 0},
            {"value": None, "key": b"tombstone", "headers": good.headers, "partition": 0},
            {"value": b"\x00\xff", "key": b"\xff\x00", "headers": good.headers, "partition": 0},
            {"value": b"{}", "key": b"nul type", "headers": [("ce_type", None)], "partition": 0},
            {"value": b"{}", "key": b"nul", "headers": [*good.headers, ("extra", None)], "partition": 0},
            {"value": b"{}", "key": b"name", "headers": [*good.headers, ("x\x00y", b"\x00")], "partition": 0},
            {"value": b"{}", "key": b"no id", "headers": [("ce_type", headers["ce_type"])], "partition": 0},
            {"value": good.value, "key": good.key, "headers": good.headers, "partition": 0},
        )

        await settle(toy)

        assert await counts(toy) == {"good": 1}
        assert sorted(key for _, key in await letters(toy)) == ["\\xff\\x00", "name", "no id", "nul", "tombstone"]


class TestOffsets:
    async def test_records_that_expired_unread_are_told_and_nothing_else_is_skipped(
        self, toy_on_kafka: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        toy = toy_on_kafka
        await emit(toy, *(MarkMade(thing="a", note=str(number)) for number in range(3)))
        await settle(toy)
        relaying = again(toy, roles="relay")
        async with relaying.running():
            await emit(toy, *(MarkMade(thing="a", note=str(number)) for number in range(3, 10)))
            await eventually(lambda: _at_least(_length(toy), 10))
        partition = (await log_of(toy, MARKS))[0].partition
        await _delete_before(toy, partition, 5)

        await settle(again(toy))

        assert await counts(toy) == {"a": 3 + 5}
        assert "out of range" in caplog.text

    async def test_a_rewound_group_reads_again_and_counts_nothing_twice(self, toy_on_kafka: Service) -> None:
        toy = toy_on_kafka
        await emit(toy, *(MarkMade(thing=thing) for thing in "abca"))
        await settle(toy)
        group, topics = toy.settings.kafka_topic_prefix + "toy", [name_of(toy, found) for found in toy.consumer_topics]

        moved = await rewind(toy.settings.kafka_bootstrap, group=group, topics=topics, to=LONG_AGO)

        assert moved == sum(topic.partitions for topic in toy.consumer_topics)
        assert await uncommitted(toy) == 4
        await settle(again(toy))
        assert await counts(toy) == {"a": 2, "b": 1, "c": 1}

    async def test_a_running_group_cannot_be_rewound(self, toy_on_kafka: Service) -> None:
        toy = toy_on_kafka
        group = toy.settings.kafka_topic_prefix + "toy"
        async with toy.running():
            await eventually(lambda: toy.consumer.assigned)
            with pytest.raises(GroupActiveError, match="stop the service"):
                await rewind(
                    toy.settings.kafka_bootstrap,
                    group=group,
                    topics=[name_of(toy, MARKS)],
                    to=LONG_AGO,
                    patience_seconds=0,
                )

    async def test_a_rewind_waits_until_killed_members_are_forgotten(self, toy_on_kafka: Service) -> None:
        toy = toy_on_kafka
        group, bootstrap = toy.settings.kafka_topic_prefix + "toy", toy.settings.kafka_bootstrap
        async with toy_process(toy.settings) as process:
            process.kill()

        assert await rewind(bootstrap, group=group, topics=[name_of(toy, MARKS)], to=LONG_AGO) == MARKS.partitions


class TestStart:
    async def test_a_service_waits_for_topics_that_are_missing_and_says_so(self, toy: Service) -> None:
        with structlog.testing.capture_logs() as logs:
            async with toy.running():
                await emit(toy, MarkMade(thing="a"))
                await eventually(lambda: [entry for entry in logs if entry.get("reason") == "topics are missing"])
                await make_topics(toy)
                await eventually(lambda: settled(toy))

        assert await counts(toy) == {"a": 1}


class TestProducer:
    async def test_an_answer_that_is_lost_makes_the_idempotent_producer_repeat_without_a_copy(
        self, toy_on_kafka: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        toy = toy_on_kafka
        events = [MarkMade(thing=f"thing-{number % 5}") for number in range(50)]
        losses = _lose_answers(monkeypatch, ProduceRequest, number=4)

        await emit(toy, *events)
        await settle(toy)

        assert len(losses) == 4
        assert await ids_of(toy, MARKS) == {event.envelope.id: 1 for event in events}
        assert await counts(toy) == {f"thing-{number}": 10 for number in range(5)}


class TestTopics:
    async def test_two_topics_in_any_order_and_two_members_close_every_jar_once(self, toy_on_kafka: Service) -> None:
        toy = toy_on_kafka
        names = [f"jar-{number}" for number in range(200)]
        filled, lids = [JarFilled(jar=name) for name in names], [LidFound(jar=name) for name in reversed(names)]
        async with again(toy).running(), again(toy, roles="consumer").running():
            for start in range(0, len(names), 20):
                part = slice(start, start + 20)
                await asyncio.gather(emit(toy, *filled[part]), emit(toy, *lids[part]))
            await eventually(lambda: _at_least(_closed(toy), 200))
            await eventually(lambda: settled(toy))

        assert await _closed(toy) == 200


async def _never_arrives(_consumer: AIOKafkaConsumer) -> None:
    raise KafkaError("the process dies here")


async def _counted(toy: Service, number: int) -> bool:
    return await total(toy) == number


async def _at_least(value: Any, number: int) -> bool:
    return await value >= number


async def _run_until(service: Service, stop: asyncio.Event) -> None:
    async with service.running():
        await stop.wait()


async def _length(toy: Service) -> int:
    return len(await log_of(toy, MARKS))


async def _closed(toy: Service) -> int:
    closed = JarClosed.wire_type.encode()
    return sum(dict(record.headers)["ce_type"] == closed for record in await log_of(toy, JARS))


async def _delete_before(toy: Service, partition: int, offset: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=toy.settings.kafka_bootstrap)
    try:
        await admin.start()
        await admin.delete_records({TopicPartition(name_of(toy, MARKS), partition): RecordsToDelete(offset)})
    finally:
        await admin.close()


def _lose_answers(monkeypatch: pytest.MonkeyPatch, kind: type, *, number: int) -> list[int]:
    """Let the broker act on the first requests of a kind, and the client believe that the connection broke."""
    losses: list[int] = []
    send = AIOKafkaClient.send

    async def lossy(client: AIOKafkaClient, node: int, request: Any, **options: Any) -> Any:
        answer = await send(client, node, request, **options)
        if type(request).__name__ == kind.__name__ and len(losses) < number:
            losses.append(node)
            raise KafkaConnectionError("the answer was lost")
        return answer

    monkeypatch.setattr(AIOKafkaClient, "send", lossy)
    return losses
