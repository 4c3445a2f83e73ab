"""Three brokers that replicate: whichever is lost, nothing is lost, and nothing is reordered within a key."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from prometheus_client import REGISTRY
from sqlalchemy import text

from devstack.infra import Infra
from devstack.kafka import Broker
from kit import outbox, testing
from kit.rewind import rewind
from kit.service import Service
from kit.testing import Stack, eventually
from toy.app import ToySettings, build
from toy.events import MARKS, MarkMade
from toy.load import LEAD, load
from toy.process import toy_process
from toy.reading import counts, log_of, make_topics, name_of, pending, settled, uncommitted

pytestmark = pytest.mark.timeout(300)

STANDSTILL_SECONDS = 30.0


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Infra]:
    servers = Infra(Path(tmp_path_factory.mktemp("brokers")), parts=("postgres", "kafka"), kafka_brokers=3)
    servers.start()
    yield servers
    servers.kill()


@pytest.fixture
async def toy(infra: Infra) -> AsyncIterator[Service]:
    """The toy service, every topic of it on all three brokers, all of which run."""
    own = Stack(postgres_url=infra.postgres.admin_dsn, kafka_bootstrap=infra.kafka.bootstrap)
    more = {"kafka_replication": 3, "outbox_keep": timedelta(hours=1)}
    async with testing.service("toy", ToySettings, build, own, **more) as service:
        await make_topics(service)
        await eventually(lambda: _all_in_sync(service), timeout=30)
        yield service


class TestLoss:
    async def test_the_leader_and_coordinator_killed_under_load_loses_and_reorders_nothing(
        self, infra: Infra, toy: Service
    ) -> None:
        async with toy.running(), load(toy) as marks:
            await marks.progress(200)
            victim = await _coordinator(infra, toy)
            assert await _leads(victim, toy)
            await asyncio.to_thread(victim.kill)
            await marks.progress(500)
            assert not victim.child.is_running
            await _start(victim)
            await marks.progress(200)
            await marks.assert_exact()
            await marks.assert_in_order()

    async def test_a_broker_that_stands_still_under_load_is_gone_round(self, infra: Infra, toy: Service) -> None:
        async with toy.running(), load(toy) as marks:
            await marks.progress(200)
            victim = await _coordinator(infra, toy)
            assert await _leads(victim, toy)
            victim.pause()
            stood_still_since = time.monotonic()
            try:
                await marks.progress(LEAD + 500)
                while time.monotonic() - stood_still_since < STANDSTILL_SECONDS:
                    await marks.progress(100)
            finally:
                victim.resume()
            await marks.progress(500)
            await marks.assert_exact()
            await marks.assert_in_order()

    async def test_two_of_three_lost_stops_writing_and_loses_nothing(self, infra: Infra, toy: Service) -> None:
        lost = infra.kafka.brokers[:2]
        async with toy.running(), load(toy) as marks:
            await marks.progress(200)
            await asyncio.gather(*(asyncio.to_thread(broker.kill) for broker in lost))
            await eventually(lambda: _waits(toy), timeout=30)
            await asyncio.gather(*(_start(broker) for broker in lost))
            await marks.progress(200)
            await marks.assert_exact()
            await marks.assert_in_order()


class TestRollingRestart:
    async def test_each_broker_restarted_in_turn_loses_and_reorders_nothing(self, infra: Infra, toy: Service) -> None:
        async with toy.running(), load(toy) as marks:
            for broker in infra.kafka.brokers:
                await marks.progress(100)
                await asyncio.to_thread(broker.stop)
                await marks.progress(100)
                await _start(broker)
                await eventually(lambda: _all_in_sync(toy), timeout=30)
            await marks.assert_exact()
            await marks.assert_in_order()


class TestRebalance:
    async def test_twelve_partitions_move_between_three_members_that_come_and_go(self, toy: Service) -> None:
        first, second = _only(toy, "relay,consumer"), _only(toy, "consumer")
        async with load(toy) as marks, first.running():
            await marks.progress(100)
            async with second.running(), toy_process(toy.settings) as third:
                await eventually(lambda: _shares(toy, [4, 4, 4]), timeout=60)
                await marks.progress(200)
                third.kill()
                await eventually(lambda: _shares(toy, [6, 6]), timeout=60)
                await marks.progress(200)
            await eventually(lambda: _shares(toy, [12]), timeout=60)
            await marks.progress(200)
            await marks.assert_exact()
            await marks.assert_in_order()


class TestRetention:
    async def test_records_that_expired_under_a_stopped_consumer_are_told_and_resent(self, toy: Service) -> None:
        await _emit(toy, 3)
        async with toy.running():
            await eventually(lambda: settled(toy))
        async with _only(toy, "relay").running():
            await _emit(toy, 7)
            await eventually(lambda: _is_empty(toy))
        before = _lost()
        await _expire(toy, keep=5)

        with structlog.testing.capture_logs() as logs:
            async with _only(toy, "relay,consumer").running():
                await eventually(lambda: settled(toy))
        told = [entry for entry in logs if entry["event"] == "records.lost"]
        assert [(entry["log_level"], entry["topic"], entry["count"]) for entry in told] == [
            ("error", name_of(toy, MARKS), 2)
        ]
        assert _lost() - before == 2
        assert await counts(toy) == {"a": 8}

        async with toy.db.write() as session:
            await outbox.resend(session, since_seconds=3600)
        async with _only(toy, "relay,consumer").running():
            await eventually(lambda: settled(toy))
        assert await counts(toy) == {"a": 10}

    async def test_what_is_still_in_the_log_is_read_again_by_a_rewind(self, toy: Service) -> None:
        async with toy.running():
            await _emit(toy, 10)
            await eventually(lambda: settled(toy))
        await _expire(toy, keep=5)
        async with toy.db.write() as session:
            for table in ("inbox", "counts"):
                await session.execute(text(f"DELETE FROM {table}"))

        group = toy.settings.kafka_topic_prefix + toy.name
        topics = [name_of(toy, topic) for topic in toy.consumer_topics]
        await rewind(
            toy.settings.kafka_bootstrap, group=group, topics=topics, to=datetime.now(UTC) - timedelta(hours=1)
        )
        assert await uncommitted(toy) >= 5
        async with _only(toy, "relay,consumer").running():
            await eventually(lambda: settled(toy))
        assert await counts(toy) == {"a": 5}


class TestLag:
    async def test_lag_is_what_the_group_has_not_handled_also_while_it_is_stuck(self, toy: Service) -> None:
        relaying = _only(toy, "relay")
        consuming = _only(toy, "consumer")
        async with relaying.running(), consuming.running():
            await _emit(toy, 10)
            await eventually(lambda: settled(toy))
            await eventually(lambda: _lag(toy) == 0, timeout=15)
            async with toy.db.write() as session:
                await session.execute(text("LOCK TABLE counts IN ACCESS EXCLUSIVE MODE"))
                for expected in (50, 100):
                    await _emit(toy, 50)
                    await eventually(lambda: _is_empty(toy))
                    assert await uncommitted(toy) == expected
                    await eventually(lambda expected=expected: _lag(toy) == expected, timeout=8)
            await eventually(lambda: settled(toy), timeout=30)
            await eventually(lambda: _lag(toy) == 0, timeout=15)
        assert await counts(toy) == {"a": 110}


async def _emit(toy: Service, number: int) -> None:
    async with toy.db.write() as session:
        for _ in range(number):
            outbox.add(session, MarkMade(thing="a"))


def _only(toy: Service, roles: str) -> Service:
    """Another process of the same service, as far as PostgreSQL and Kafka can tell, with these roles alone."""
    other = build(toy.settings)
    other.roles = frozenset(roles.split(","))
    return other


async def _is_empty(toy: Service) -> bool:
    return await pending(toy) == 0


async def _waits(toy: Service) -> bool:
    """Nothing was acknowledged for a while, and there is something to send."""
    return not toy.relay.active and await pending(toy) > 0


def _lag(toy: Service) -> float | None:
    return REGISTRY.get_sample_value("atelier_consumer_lag", {"service": "toy", "topic": name_of(toy, MARKS)})


def _lost() -> float:
    return REGISTRY.get_sample_value("atelier_records_lost_total", {"service": "toy"}) or 0.0


async def _start(broker: Broker) -> None:
    await asyncio.to_thread(broker.start)
    await asyncio.to_thread(broker.wait_ready)


@asynccontextmanager
async def _admin(toy: Service) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=toy.settings.kafka_bootstrap)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _partitions(toy: Service) -> list[dict]:
    async with _admin(toy) as admin:
        found = await admin.describe_topics([name_of(toy, topic) for topic in toy.all_topics])
    return [partition for topic in found for partition in topic["partitions"]]


async def _all_in_sync(toy: Service) -> bool:
    return all(len(partition["isr"]) == 3 for partition in await _partitions(toy))


async def _leads(broker: Broker, toy: Service) -> bool:
    return any(partition["leader"] == broker.node for partition in await _partitions(toy))


async def _coordinator(infra: Infra, toy: Service) -> Broker:
    """The broker that coordinates the toy's group: losing it hurts most."""
    async with _admin(toy) as admin:
        node = await admin.find_coordinator(toy.settings.kafka_topic_prefix + toy.name)
    return infra.kafka.brokers[node - 1]


async def _shares(toy: Service, expected: list[int]) -> bool:
    """Whether the members have so many partitions of the marks each."""
    async with _admin(toy) as admin:
        (description,) = await admin.describe_consumer_groups([toy.settings.kafka_topic_prefix + toy.name])
    assignments = [
        ConsumerProtocolMemberAssignment.decode(member[4]) for member in description.groups[0][5] if member[4]
    ]
    marks = name_of(toy, MARKS)
    return [sum(found.topic == marks for found in assignment.partitions()) for assignment in assignments] == expected


async def _expire(toy: Service, *, keep: int) -> None:
    """Let all but the last records of the one partition in use expire."""
    end = len(await log_of(toy, MARKS))
    partition = (await log_of(toy, MARKS))[0].partition
    async with _admin(toy) as admin:
        await admin.delete_records({TopicPartition(name_of(toy, MARKS), partition): RecordsToDelete(end - keep)})
