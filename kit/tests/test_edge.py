"""The consumer edge against a real PostgreSQL: every record ends in exactly one outcome."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from pydantic import SecretStr, TypeAdapter
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from kit import database, dead_letters, testing
from kit import edge as edges
from kit.database import WriteSession
from kit.edge import Edge, Message, waves
from kit.service import Service
from kit.subscriptions import Subscription, on
from kit.testing import FakeRecord, Stack, emitted, records
from shared.contract import Event
from toy.app import ToySettings, build, on_mark_made
from toy.events import CountChanged, MarkErased, MarkMade
from toy.reading import counts, letters


async def calls(toy: Service) -> list[tuple[str, str]]:
    async with toy.db.read() as session:
        return [(row.type, row.things) for row in await session.execute(text("SELECT * FROM calls ORDER BY id"))]


def outcomes(wire_type: str) -> dict[str, float]:
    return {
        outcome: REGISTRY.get_sample_value(
            "atelier_messages_total", {"service": "toy", "type": wire_type, "outcome": outcome}
        )
        or 0.0
        for outcome in ("done", "duplicate", "ignored", "parked", "dead")
    }


class TestHandling:
    async def test_a_batch_is_one_transaction_with_what_it_emits(self, toy: Service) -> None:
        made = [MarkMade(thing="a"), MarkMade(thing="b"), MarkMade(thing="a")]

        await toy.edge.handle(records(*made))

        assert await counts(toy) == {"a": 2, "b": 1}
        caused = await emitted(toy.db)
        assert [(event.key, event.envelope.causation_id) for event in caused] == [
            (event.thing, event.envelope.id) for event in made
        ]
        assert all(isinstance(event, CountChanged) for event in caused)

    async def test_the_trace_goes_on_in_what_is_emitted(self, toy: Service) -> None:
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        event = MarkMade(thing="a").stamp(traceparent=trace)

        await toy.edge.handle(records(event))

        (caused,) = await emitted(toy.db)
        assert caused.envelope.traceparent is not None
        assert caused.envelope.traceparent.split("-")[1] == trace.split("-")[1]

    async def test_a_duplicate_has_no_second_effect_in_the_same_batch_or_later(self, toy: Service) -> None:
        before = outcomes(MarkMade.wire_type)
        twice = records(MarkMade(thing="a")) * 2

        await toy.edge.handle(twice)
        await toy.edge.handle(twice[:1])

        assert await counts(toy) == {"a": 1}
        after = outcomes(MarkMade.wire_type)
        assert after["done"] - before["done"] == 1
        assert after["duplicate"] - before["duplicate"] == 2

    async def test_an_unknown_type_and_a_filtered_event_are_ignored_and_counted(self, toy: Service) -> None:
        before = outcomes(MarkMade.wire_type)["ignored"], outcomes("other")["ignored"]

        await toy.edge.handle([*records(MarkMade(thing="a", weight=0)), *records(CountChanged(thing="a", count=1))])

        assert await counts(toy) == {}
        assert outcomes(MarkMade.wire_type)["ignored"] - before[0] == 1
        assert outcomes("other")["ignored"] - before[1] == 1


class TestDeadLetters:
    async def test_the_bad_record_dies_alone_and_the_partition_goes_on(self, toy: Service) -> None:
        batch = records(*(MarkMade(thing=thing) for thing in ["a", "b", "poison", "c", "d"]))

        await toy.edge.handle(batch)

        assert await counts(toy) == {"a": 1, "b": 1, "c": 1, "d": 1}
        assert await letters(toy) == [("dead", "poison")]

    async def test_later_events_of_a_dead_key_are_parked_and_replayed_in_order(self, toy: Service) -> None:
        broken = MarkMade(thing="a", weight=5000)
        await toy.edge.handle(records(broken))
        await toy.edge.handle(records(MarkMade(thing="a"), MarkErased(thing="a"), MarkMade(thing="b")))
        assert await letters(toy) == [("dead", "a"), ("parked", "a"), ("parked", "a")]
        assert await counts(toy) == {"b": 1}

        assert await dead_letters.replay(toy.db, toy.edge) == (0, 1)
        async with toy.db.write() as session:
            await session.execute(text("ALTER TABLE counts DROP CONSTRAINT counts_below_thousand"))
        assert await dead_letters.replay(toy.db, toy.edge) == (3, 0)

        assert await counts(toy) == {"a": 5000, "b": 1}
        assert await letters(toy) == []
        assert [name for name, things in await calls(toy) if things == "a"] == ["MarkMade", "MarkMade", "MarkErased"]

    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param(lambda r: FakeRecord(r.topic, r.key, b"{not json", r.headers), id="value"),
            pytest.param(lambda r: FakeRecord(r.topic, r.key, b'{"thing": 5}', r.headers), id="schema"),
            pytest.param(
                lambda r: FakeRecord(r.topic, r.key, r.value, [h for h in r.headers if h[0] != "ce_id"]), id="no id"
            ),
            pytest.param(
                lambda r: FakeRecord(r.topic, r.key, r.value, [*r.headers, ("ce_time", b"\xff")]), id="bad header"
            ),
            pytest.param(lambda r: FakeRecord(r.topic, b"\x00\xff", b"\x00", r.headers), id="nul"),
        ],
    )
    async def test_an_undecodable_record_dies_in_the_transaction_of_the_rest(self, toy: Service, spoil) -> None:
        good, bad = records(MarkMade(thing="good"), MarkMade(thing="bad"))

        await toy.edge.handle([spoil(bad), good])

        assert await counts(toy) == {"good": 1}
        assert [state for state, _ in await letters(toy)] == ["dead"]

    async def test_a_value_that_the_database_cannot_take_is_a_dead_letter_and_not_an_outage(self, toy: Service) -> None:
        await toy.edge.handle(records(MarkMade(thing="a", weight=2**40), MarkMade(thing="b")))

        assert await counts(toy) == {"b": 1}
        assert await letters(toy) == [("dead", "a")]

    async def test_a_record_on_which_the_filter_fails_dies_alone(self, toy: Service) -> None:
        def fails(event: MarkMade) -> bool:
            return event.weight / event.weight == 1

        edge = Edge(toy.db, service="toy", subscriptions=[on(MarkMade, on_mark_made, where=fails)])

        await edge.handle(records(MarkMade(thing="a", weight=0), MarkMade(thing="b")))

        assert await counts(toy) == {"b": 1}
        assert await letters(toy) == [("dead", "a")]

    async def test_what_a_customer_wrote_reaches_neither_the_letter_nor_the_log(self, toy: Service) -> None:
        async def reads_strictly(_session, events: list[MarkMade]) -> None:
            for event in events:
                TypeAdapter(int).validate_python(event.note)

        wrote = "a portrait of ada@example.com"
        edge = Edge(toy.db, service="toy", subscriptions=[on(MarkMade, reads_strictly)])
        unreadable, refused = records(MarkMade(thing="a"), MarkMade(thing="b", note=wrote))
        unreadable = FakeRecord(
            unreadable.topic, b"a", json.dumps({"thing": "a", "weight": wrote}).encode(), unreadable.headers
        )

        with structlog.testing.capture_logs() as logs:
            await edge.handle([unreadable, refused])

        async with toy.db.read() as session:
            errors = [letter.error for letter in await dead_letters.find(session)]
        assert ["weight" in errors[0], "valid integer" in errors[1]] == [True, True]
        assert "ada@example.com" not in str(errors)
        assert "ada@example.com" not in str([entry["error"] for entry in logs])

    async def test_a_failure_of_our_own_is_told_and_repeated_slowly(
        self, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dead_letters, "store", _broken)
        with structlog.testing.capture_logs() as logs, pytest.raises(RuntimeError, match="no letters"):
            await toy.edge.handle(records(MarkMade(thing="poison")))

        (entry,) = [entry for entry in logs if entry["event"] == "batch.delayed"]
        assert entry["retry_seconds"] > 0
        assert isinstance(entry["exc_info"], RuntimeError)

    async def test_a_redelivered_dead_record_stays_one_letter(self, toy: Service) -> None:
        batch = records(MarkMade(thing="poison"))

        await toy.edge.handle(batch)
        await toy.edge.handle(batch)

        assert await letters(toy) == [("dead", "poison")]

    async def test_a_dropped_letter_lets_the_parked_ones_go_on(self, toy: Service) -> None:
        await toy.edge.handle(records(MarkMade(thing="poison")))
        await toy.edge.handle(records(MarkErased(thing="poison")))
        async with toy.db.read() as session:
            dead = (await dead_letters.find(session))[0]

        async with toy.db.write() as session:
            assert await dead_letters.drop(session, dead.id)

        assert await dead_letters.replay(toy.db, toy.edge) == (1, 0)
        assert await letters(toy) == []

    async def test_of_a_blocked_key_the_last_letter_is_locked_and_no_other(self, toy: Service) -> None:
        first = MarkMade(thing="a", weight=5000)
        await toy.edge.handle(records(first, *(MarkMade(thing="a") for _ in range(50))))
        unlocked = text("SELECT count(*) FROM (SELECT id FROM dead_letters FOR UPDATE SKIP LOCKED) AS free")

        async with toy.db.write() as session:
            blocked, _ = await edges._ask(session, {(MarkMade.topic.name, "a"), (MarkMade.topic.name, "b")}, [])
            async with toy.db.write() as other:
                assert await other.scalar(unlocked) == 50

        assert blocked == {(MarkMade.topic.name, "a")}


class TestTransientFailures:
    async def test_a_lock_that_is_taken_while_a_letter_is_replayed_is_no_failure_of_the_letter(
        self, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "LOCK_TIMEOUT", "50ms")
        impatient = build(toy.settings)
        await toy.edge.handle(records(MarkMade(thing="a", weight=5000)))
        async with toy.db.write() as session:
            await session.execute(text("ALTER TABLE counts DROP CONSTRAINT counts_below_thousand"))

        async with toy.db.write() as session:
            await session.execute(text("LOCK TABLE counts IN ACCESS EXCLUSIVE MODE"))
            monkeypatch.setattr(dead_letters, "RETRY_SECONDS", 0.0)
            with pytest.raises(DBAPIError, match="lock timeout"):
                await dead_letters.replay(impatient.db, impatient.edge)
            monkeypatch.setattr(dead_letters, "TRANSIENT_ATTEMPTS", 1000)
            replaying = asyncio.create_task(dead_letters.replay(impatient.db, impatient.edge))
            await asyncio.wait([replaying], timeout=0.2)
            assert not replaying.done()
        assert await replaying == (1, 0)
        await impatient.db.close()

        assert await counts(toy) == {"a": 5000}
        assert await letters(toy) == []

    async def test_a_lock_timeout_repeats_the_batch_and_loses_nothing(
        self, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "LOCK_TIMEOUT", "50ms")
        impatient = build(toy.settings)
        batch = records(MarkMade(thing="a"))

        async with toy.db.write() as session:
            await session.execute(text("LOCK TABLE counts IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(DBAPIError, match="lock timeout"):
                await impatient.edge.handle(batch)
        await impatient.edge.handle(batch)
        await impatient.db.close()

        assert await counts(toy) == {"a": 1}
        assert await letters(toy) == []

    async def test_a_database_that_is_away_repeats_the_batch(self, toy: Service) -> None:
        batch = records(MarkMade(thing="a"))
        nowhere = SecretStr("postgresql+asyncpg://x:x@127.0.0.1:1/x")
        away = build(toy.settings.model_copy(update={"database_url": nowhere}))

        with pytest.raises(OSError, match="Connect"):
            await away.edge.handle(batch)
        await toy.edge.handle(batch)

        assert await counts(toy) == {"a": 1}


class TestWaves:
    @given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
    def test_nothing_overtakes_within_a_key_and_a_call_has_one_type(self, marks: list[tuple[str, bool]]) -> None:
        events = [MarkMade(thing=thing) if made else MarkErased(thing=thing) for thing, made in marks]
        subscription = Subscription(MarkMade, _nothing)
        messages = [
            Message(record, event.wire_type, subscription, event)
            for record, event in zip(records(*events), events, strict=True)
        ]

        called = waves(messages)

        assert all(len({message.type for message in call}) == 1 for call in called)
        for thing in "abc":
            arrived = [message for message in messages if message.event.key == thing]
            handled = [message for call in called for message in call if message.event.key == thing]
            assert handled == arrived


async def _nothing(_session, _events) -> None: ...


async def _broken(_session, letters) -> None:
    if letters:
        raise RuntimeError("no letters today")


class TestPermutation:
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6))
    async def test_any_split_with_any_duplicates_counts_each_event_once(
        self, stack: Stack, seed: int, sizes: list[int]
    ) -> None:
        chance = random.Random(seed)
        events = [MarkMade(thing=chance.choice("ab")) for _ in range(12)]
        batch = records(*events)
        delivered = batch + chance.choices(batch, k=8)
        chance.shuffle(delivered)
        async with testing.service("toy", ToySettings, build, stack) as toy:
            while delivered:
                size = chance.choice(sizes)
                await toy.edge.handle(delivered[:size])
                delivered = delivered[size:]

            assert await counts(toy) == Counter(event.thing for event in events)


class TestLocking:
    async def test_batches_of_several_waves_in_opposite_orders_do_not_deadlock(self, stack: Stack) -> None:
        async def lock(session: WriteSession, events: Sequence[Event]) -> None:
            things = sorted({event.key for event in events})
            query = text("SELECT thing FROM counts WHERE thing = ANY(:things) ORDER BY thing FOR UPDATE")
            await session.execute(query, {"things": things})

        async with testing.service("toy", ToySettings, build, stack) as toy:
            await toy.edge.handle(records(MarkMade(thing="a"), MarkMade(thing="b")))
            edges = [Edge(toy.db, service="toy", subscriptions=toy.subscriptions, lock=lock) for _ in range(2)]
            before = REGISTRY.get_sample_value("atelier_batches_repeated_total", {"service": "toy"}) or 0.0

            for _ in range(20):
                forth = records(MarkMade(thing="a"), MarkErased(thing="b"))
                back = records(MarkMade(thing="b"), MarkErased(thing="a"))
                await asyncio.gather(edges[0].handle(forth), edges[1].handle(back))

            assert await counts(toy) == {"a": 1, "b": 1}
            assert (REGISTRY.get_sample_value("atelier_batches_repeated_total", {"service": "toy"}) or 0.0) == before
