"""The producer edge on Apache Kafka: what was committed is sent, in order per key, whatever dies in between."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
import structlog
from aiokafka import AIOKafkaProducer
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from sqlalchemy import text

from kit import backoff, outbox, relay, testing, topics
from kit.outbox import MAX_VALUE_BYTES, EventTooLargeError
from kit.retention import Retention, kernel_rules
from kit.service import Service
from kit.testing import Stack, emitted, eventually
from shared.contract import Event, Topic
from toy.app import ToySettings, build
from toy.events import MARKS, MarkMade
from toy.reading import counts, ids_of, log_of, make_topics, pending, settled, uncommitted

RELAY = frozenset({"relay"})
CONSUMER = frozenset({"consumer"})
LAMPS = Topic("toy.lamps", key="lamp", partitions=1)


class LampLit(Event):
    """Its topic is missing until a test makes it."""

    topic: ClassVar[Topic] = LAMPS

    lamp: str
    number: int = 0


async def emit(toy: Service, *events: Event) -> None:
    async with toy.db.write() as session:
        for event in events:
            outbox.add(session, event)


async def sent(toy: Service, number: int) -> bool:
    return await pending(toy) == 0 and (await ids_of(toy, MARKS)).total() >= number


async def _never_acknowledged(*_: Any, **__: Any) -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


class TestOrder:
    async def test_a_low_id_committed_after_a_high_one_is_still_sent(self, toy_on_kafka: Service) -> None:
        toy, toy.roles = toy_on_kafka, RELAY
        late, early = MarkMade(thing="late"), MarkMade(thing="early")
        async with toy.running():
            async with toy.db.write() as session:
                outbox.add(session, late)
                await outbox.flush(session)
                await emit(toy, early)
                await eventually(lambda: sent(toy, 1))
                assert set(await ids_of(toy, MARKS)) == {early.envelope.id}

            await eventually(lambda: sent(toy, 2))

        assert await ids_of(toy, MARKS) == {late.envelope.id: 1, early.envelope.id: 1}

    async def test_an_event_committed_behind_a_higher_id_is_not_overtaken_by_the_next_of_its_key(
        self, toy_on_kafka: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(relay, "FULL_SCAN_SECONDS", 3600)
        toy, toy.roles = toy_on_kafka, RELAY
        async with toy.running():
            async with toy.db.write() as session:
                outbox.add(session, MarkMade(thing="a", note="1"))
                await outbox.flush(session)
                for number in range(3):
                    await emit(toy, MarkMade(thing="b"))
                    await eventually(lambda number=number: sent(toy, number + 1))
            await emit(toy, MarkMade(thing="a", note="2"))
            await eventually(lambda: sent(toy, 5))

        notes = [json.loads(record.value)["note"] for record in await log_of(toy, MARKS) if record.key == b"a"]
        assert notes == ["1", "2"]

    async def test_events_of_one_key_keep_their_order_across_transactions(self, toy_on_kafka: Service) -> None:
        toy, toy.roles = toy_on_kafka, RELAY
        events = [MarkMade(thing=thing, note=str(number)) for number in range(40) for thing in "abc"]
        async with toy.running():
            for start in range(0, len(events), 10):
                await emit(toy, *events[start : start + 10])
            await eventually(lambda: sent(toy, len(events)))

        log = await log_of(toy, MARKS)
        for thing in "abc":
            notes = [json.loads(record.value)["note"] for record in log if record.key == thing.encode()]
            assert notes == [str(number) for number in range(40)]

    async def test_a_backlog_larger_than_a_batch_is_drained_in_order(self, toy_on_kafka: Service) -> None:
        toy, toy.roles = toy_on_kafka, RELAY
        await emit(toy, *(MarkMade(thing="a", note=str(number)) for number in range(2 * relay.BATCH + 7)))

        async with toy.running():
            await eventually(lambda: _drained(toy))

        notes = [json.loads(record.value)["note"] for record in await log_of(toy, MARKS)]
        assert notes == [str(number) for number in range(2 * relay.BATCH + 7)]


class TestSilence:
    async def test_a_producer_that_is_silent_for_too_long_is_replaced(
        self, toy_on_kafka: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As when its search for a leader has died: it repeats for ever, and no other process gets the lock."""
        monkeypatch.setattr(relay, "ACKNOWLEDGE_SECONDS", 0.05)
        monkeypatch.setattr(relay, "SILENCE_SECONDS", 0.2)
        toy, toy.roles = toy_on_kafka, RELAY
        event = MarkMade(thing="a")
        with structlog.testing.capture_logs() as logs, monkeypatch.context() as patch:
            patch.setattr(AIOKafkaProducer, "send", _never_acknowledged)
            async with toy.running():
                await emit(toy, event)
                await eventually(lambda: [entry for entry in logs if "was silent for" in str(entry.get("reason"))])
                patch.undo()
                await eventually(lambda: sent(toy, 1))

        assert await ids_of(toy, MARKS) == {event.envelope.id: 1}


class TestMissingTopic:
    async def test_it_holds_up_no_other_topic_and_nothing_is_sent_twice(
        self, toy_on_kafka: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(relay, "FULL_SCAN_SECONDS", 0.05)
        toy, toy.roles = toy_on_kafka, RELAY
        async with toy.running():
            await emit(toy, MarkMade(thing="a"), *(LampLit(lamp="a") for _ in range(relay.BATCH)), MarkMade(thing="b"))
            await eventually(lambda: _waiting(toy, relay.BATCH))
            await emit(toy, MarkMade(thing="c"))
            await eventually(lambda: _waiting(toy, relay.BATCH))

        assert sorted((await ids_of(toy, MARKS)).values()) == [1, 1, 1]

    async def test_its_events_are_sent_in_order_once_it_is_made(
        self, toy_on_kafka: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(relay, "ABSENT_SECONDS", 0.2)
        toy, toy.roles = toy_on_kafka, RELAY
        numbers = range(3 * relay.BATCH)
        async with toy.running():
            await emit(toy, *(LampLit(lamp="a", number=number) for number in numbers), MarkMade(thing="a"))
            await eventually(lambda: _waiting(toy, len(numbers)))
            settings = toy.settings
            await topics.ensure(settings.kafka_bootstrap, [LAMPS], prefix=settings.kafka_topic_prefix, replication=1)
            await eventually(lambda: _fewer_wait(toy, len(numbers)))
            monkeypatch.setattr(relay, "FULL_SCAN_SECONDS", 3600)
            await eventually(lambda: _drained(toy))

        assert [json.loads(record.value)["number"] for record in await log_of(toy, LAMPS)] == list(numbers)


class TestCrashes:
    async def test_events_committed_while_no_relay_runs_are_sent_at_the_next_start(self, toy_on_kafka: Service) -> None:
        toy = toy_on_kafka
        await emit(toy, MarkMade(thing="a"), MarkMade(thing="b"))

        async with toy.running():
            await eventually(lambda: settled(toy))

        assert await counts(toy) == {"a": 1, "b": 1}

    async def test_a_crash_between_send_and_delete_sends_twice_and_counts_once(self, toy_on_kafka: Service) -> None:
        toy, toy.roles = toy_on_kafka, RELAY
        await emit(toy, MarkMade(thing="a"))
        await _execute(
            toy,
            "CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN OLD; END $$",
            "CREATE TRIGGER crash BEFORE DELETE ON outbox EXECUTE FUNCTION crash()",
        )
        async with toy.running():
            await eventually(lambda: _repeated(toy))
            assert await pending(toy) == 1
            await _execute(toy, "DROP TRIGGER crash ON outbox")
            await eventually(lambda: _drained(toy))

        (copies,) = (await ids_of(toy, MARKS)).values()
        assert copies > 1
        again = build(toy.settings)
        again.roles = CONSUMER
        async with again.running():
            await eventually(lambda: _handled(toy, "a"))
            await eventually(lambda: _acknowledged(again))
        assert await counts(toy) == {"a": 1}


class TestWaiting:
    async def test_a_relay_that_worked_for_long_tries_again_at_once(
        self, toy_on_kafka: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(backoff, "MAX_SECONDS", 0.3)
        toy, toy.roles = toy_on_kafka, RELAY
        with structlog.testing.capture_logs() as logs:
            async with toy.running():
                for interruption in (1, 2):
                    await eventually(lambda: toy.relay.active)
                    began = time.monotonic()
                    await eventually(lambda began=began: time.monotonic() - began > 0.3)
                    await _terminate_lock_holder(toy)
                    await eventually(lambda interruption=interruption: len(_waits(logs)) == interruption, timeout=20)

        assert _waits(logs) == [backoff.MIN_SECONDS] * 2


class TestLock:
    async def test_one_of_two_relays_is_active_and_the_other_takes_over_without_loss(
        self, toy_on_kafka: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(relay, "STANDBY_SECONDS", 0.02)
        first, second = toy_on_kafka, build(toy_on_kafka.settings)
        first.roles = second.roles = RELAY
        events = [MarkMade(thing=f"thing-{number % 7}") for number in range(300)]
        async with first.running(), second.running():
            await eventually(lambda: first.relay.active or second.relay.active)
            active, standby = (first, second) if first.relay.active else (second, first)
            for start in range(0, len(events), 20):
                await emit(first, *events[start : start + 20])
                if start == 100:
                    assert not standby.relay.active
                    await _terminate_lock_holder(first)
            await eventually(lambda: standby.relay.active and not active.relay.active)
            await eventually(lambda: sent(first, len(events)))

        assert set(await ids_of(first, MARKS)) == {event.envelope.id for event in events}


class TestKeeping:
    async def test_kept_events_are_sent_again_on_demand_and_pruned_by_age(self, stack: Stack) -> None:
        async with testing.service("toy", ToySettings, build, stack, outbox_keep=timedelta(hours=1)) as toy:
            await make_topics(toy)
            events = [MarkMade(thing="a"), MarkMade(thing="a"), MarkMade(thing="b")]
            await emit(toy, *events)
            async with toy.running():
                await eventually(lambda: settled(toy))
                async with toy.db.write() as session:
                    assert await outbox.resend(session, since_seconds=60) >= 3
                await eventually(lambda: settled(toy))

            assert await ids_of(toy, MARKS) == {event.envelope.id: 2 for event in events}
            assert await counts(toy) == {"a": 2, "b": 1}
            retention, now = Retention(toy.db, kernel_rules(outbox_keep=timedelta(hours=1))), datetime.now(UTC)
            await retention.sweep(now + timedelta(minutes=59))
            assert len(await emitted(toy.db)) >= 3
            await retention.sweep(now + timedelta(minutes=61))
            assert await emitted(toy.db) == []

    async def test_a_live_relay_sends_everything_again_without_waiting_for_full_scans(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with testing.service("toy", ToySettings, build, stack, outbox_keep=timedelta(hours=1)) as toy:
            await make_topics(toy)
            toy.roles = RELAY
            number = 4 * relay.BATCH
            async with toy.running():
                await emit(toy, *(MarkMade(thing="a", note=str(note)) for note in range(number)))
                await eventually(lambda: sent(toy, number))
                monkeypatch.setattr(relay, "FULL_SCAN_SECONDS", 3600)
                async with toy.db.write() as session:
                    assert await outbox.resend(session, since_seconds=60) == number
                    assert (await outbox.pending(session))[1] < 1
                await eventually(lambda: _drained(toy))

            notes = [json.loads(record.value)["note"] for record in await log_of(toy, MARKS)]
            assert notes == 2 * [str(note) for note in range(number)]

    async def test_what_waits_is_found_without_reading_what_was_kept(self, toy: Service) -> None:
        await _execute(
            toy,
            "INSERT INTO outbox (topic, key, headers, value, sent_at)"
            " SELECT 'toy.marks', 'a', '{}', '', now() FROM generate_series(1, 5000)",
            "ANALYZE outbox",
        )
        async with toy.db.read() as session:
            plan = await session.execute(
                text("EXPLAIN SELECT id FROM outbox WHERE id >= 0 AND sent_at IS NULL ORDER BY id LIMIT 500")
            )
            assert "outbox_unsent" in "".join(plan.scalars())


class TestRecords:
    async def test_an_event_over_the_limit_is_refused_and_nothing_is_written(self, toy: Service) -> None:
        empty = len(MarkMade(thing="a").model_dump_json())
        with pytest.raises(EventTooLargeError, match="262145 bytes"):
            await emit(toy, MarkMade(thing="b"), MarkMade(thing="a", note="x" * (MAX_VALUE_BYTES - empty + 1)))

        assert await emitted(toy.db) == []

    async def test_an_event_at_the_limit_arrives_whole(self, toy_on_kafka: Service) -> None:
        toy, toy.roles = toy_on_kafka, RELAY
        empty = len(MarkMade(thing="a").model_dump_json())
        async with toy.running():
            await emit(toy, *(MarkMade(thing="a", note="x" * (MAX_VALUE_BYTES - empty)) for _ in range(5)))
            await eventually(lambda: sent(toy, 5))

        assert [len(record.value) for record in await log_of(toy, MARKS)] == [MAX_VALUE_BYTES] * 5

    async def test_the_cloudevents_sdk_reads_our_records(self, toy_on_kafka: Service) -> None:
        toy, toy.roles = toy_on_kafka, RELAY
        cause = MarkMade(thing="cause").stamp()
        event = MarkMade(thing="läm\u2009p", job_id="job_1", note='"quoted" \U0001f600')
        async with toy.running():
            async with toy.db.write() as session:
                outbox.add(session, event, cause=cause)
            await eventually(lambda: sent(toy, 1))

        (record,) = await log_of(toy, MARKS)
        read = from_binary(KafkaMessage(dict(record.headers), record.key, record.value), JSONFormat())
        envelope = event.envelope
        assert read.get_specversion() == "1.0"
        assert read.get_id() == envelope.id
        assert read.get_type() == "atelier.toy.mark-made.v1"
        assert read.get_source() == "/atelier/toy"
        assert read.get_subject() == event.thing
        assert read.get_time() == envelope.time
        assert read.get_datacontenttype() == "application/json"
        assert read.get_extension("correlationid") == "job_1"
        assert read.get_extension("causationid") == cause.envelope.id
        assert read.get_data() == event.model_dump()

    async def test_headers_key_and_value_on_the_wire_are_those_of_the_event(self, toy_on_kafka: Service) -> None:
        toy, toy.roles = toy_on_kafka, RELAY
        event = MarkMade(thing="a", job_id="job_1")
        async with toy.running():
            await emit(toy, event)
            await eventually(lambda: sent(toy, 1))

        (record,) = await log_of(toy, MARKS)
        assert record.topic == toy.settings.kafka_topic_prefix + "toy.marks"
        assert record.key == b"a"
        assert record.value == event.model_dump_json().encode()
        assert sorted(record.headers) == sorted(event.envelope.headers())


async def _execute(toy: Service, *statements: str) -> None:
    async with toy.db.write() as session:
        for statement in statements:
            await session.execute(text(statement))


async def _terminate_lock_holder(toy: Service) -> None:
    async with toy.db.write() as session:
        ended = await session.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
        assert ended.scalars().all() == [True]


async def _waiting(toy: Service, number: int) -> bool:
    return await pending(toy) == number


def _waits(logs: list[Any]) -> list[float]:
    return [entry["retry_seconds"] for entry in logs if entry["event"] == "relay.waiting"]


async def _fewer_wait(toy: Service, number: int) -> bool:
    return await pending(toy) < number


async def _drained(toy: Service) -> bool:
    return await pending(toy) == 0


async def _repeated(toy: Service) -> bool:
    return (await ids_of(toy, MARKS)).total() > 1


async def _handled(toy: Service, thing: str) -> bool:
    return thing in await counts(toy)


async def _acknowledged(toy: Service) -> bool:
    return await uncommitted(toy) == 0
