"""Following a job live, and waiting for it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
import sqlalchemy

from gateway.stream import Pace
from kit.signals import Signals
from kit.testing import eventually, records
from shared.ids import new_id


class Stream:
    """An open stream and what came through it."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self.events = []
        self.ended = False

    @property
    def seqs(self):
        return [int(event["id"]) for event in self.events if "id" in event]

    async def read(self) -> None:
        event = {}
        async for line in self.answer.aiter_lines():
            name, _, value = line.partition(": ")
            if line:
                event[name] = value
            elif "data" in event:
                self.events.append({**event, "data": json.loads(event["data"])})
                event = {}
        self.ended = True


@asynccontextmanager
async def following(customer, job_id, **headers) -> AsyncIterator[Stream]:
    async with customer.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
        stream = Stream(answer)
        reading = asyncio.create_task(stream.read())
        yield stream
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


@pytest.fixture
async def job_id(live, order):
    return (await live.http.post("/v1/jobs", json=order)).json()["id"]


@pytest.fixture
def looks(gateway):
    """The statements that read a job of an account."""
    statements = []

    def note(_connection, _cursor, statement, *_):
        if "jobs.account_id = " in statement:
            statements.append(statement)

    sqlalchemy.event.listen(gateway.db.engine.sync_engine, "before_cursor_execute", note)
    return statements


def whole_rows(looks):
    """Those that read what was asked for, which may be long."""
    return [look for look in looks if "jobs.input" in look]


class TestEvents:
    async def test_events_come_as_they_happen_until_nothing_more_can(self, gateway, live, job_id, make):
        async with following(live, job_id) as stream:
            assert stream.answer.headers["Content-Type"].startswith("text/event-stream")
            await eventually(lambda: stream.seqs == [1])
            for seq, event in enumerate(make.journey(live.account_id, job_id), start=2):
                await gateway.edge.handle(records(event))
                await eventually(lambda seq=seq: stream.seqs == list(range(1, seq + 1)))
            await eventually(lambda: stream.ended)

        assert [event["data"]["service"] for event in stream.events][:3] == ["gateway", "billing", "generation"]
        assert all("event" not in event for event in stream.events)

    async def test_a_look_reads_no_more_than_it_uses(self, gateway, live, job_id, make, looks):
        async with following(live, job_id) as stream:
            await gateway.edge.handle(records(*make.journey(live.account_id, job_id)))
            await eventually(lambda: stream.ended)

        assert stream.seqs == [1, 2, 3, 4, 5, 6]
        assert len(looks) > 1
        assert whole_rows(looks) == []

    async def test_who_comes_back_misses_nothing_and_sees_nothing_twice(self, gateway, live, job_id, make):
        journey = make.journey(live.account_id, job_id)
        await gateway.edge.handle(records(*journey[:2]))
        async with following(live, job_id) as first:
            await eventually(lambda: first.seqs == [1, 2, 3])

        await gateway.edge.handle(records(*journey[2:]))
        async with following(live, job_id, **{"Last-Event-ID": "2"}) as second:
            await eventually(lambda: second.ended)

        assert second.seqs == [3, 4, 5, 6]

    async def test_a_finished_story_that_was_seen_to_its_end_is_not_begun_again(self, gateway, live, job_id, make):
        await gateway.edge.handle(records(*make.journey(live.account_id, job_id)))

        answers = [
            await live.http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "6"}),
            await live.http.get(f"/v1/jobs/{job_id}/events", params={"after": 6}),
        ]

        assert [answer.status_code for answer in answers] == [204, 204]

    async def test_a_job_with_a_webhook_is_followed_until_it_is_delivered(self, gateway, live, order, make):
        target = {"webhook": {"url": "https://example.com/hook"}}
        job = (await live.http.post("/v1/jobs", json=order | {"deliver": target})).json()
        await gateway.edge.handle(records(*make.journey(live.account_id, job["id"])))
        async with following(live, job["id"]) as stream:
            await eventually(lambda: len(stream.seqs) == 6)
            assert not stream.ended
            await gateway.edge.handle(records(make.delivered(live.account_id, job["id"])))
            await eventually(lambda: stream.ended)

    @pytest.mark.parametrize("end", ["refused", "cancelled"])
    async def test_a_job_that_ends_before_billing_refuses_it_is_followed_until_then(
        self, gateway, live, job_id, make, end
    ):
        """A job may be cancelled, or pass its deadline, before its credits were looked at."""
        async with following(live, job_id) as stream:
            await gateway.edge.handle(records(getattr(make, end)(live.account_id, job_id)))
            await eventually(lambda: stream.seqs == [1, 2])
            assert not stream.ended
            await gateway.edge.handle(records(make.credits_refused(live.account_id, job_id)))
            await eventually(lambda: stream.ended)

        assert stream.seqs == [1, 2, 3]

    async def test_progress_comes_without_an_id(self, gateway, live, job_id):
        settings = gateway.settings
        signals = Signals(settings.redis_url.get_secret_value(), namespace=settings.kafka_topic_prefix)
        async with following(live, job_id) as stream:

            def progress():
                signals.send((job_id, {"type": "progress", "item": 0, "phase": "submitted"}))
                return [event for event in stream.events if event.get("event") == "progress"]

            seen = await eventually(progress)
        await signals.close()

        assert "id" not in seen[0]
        assert seen[0]["data"] == {"job_id": job_id, "item": 0, "phase": "submitted"}

    async def test_a_stream_that_opens_in_the_middle_of_a_job_begins_with_its_last_progress(
        self, gateway, live, job_id, make
    ):
        settings = gateway.settings
        signals = Signals(settings.redis_url.get_secret_value(), namespace=settings.kafka_topic_prefix)
        await gateway.edge.handle(records(make.held(live.account_id, job_id)))
        for phase in ("submitted", "produced"):
            signals.send((job_id, {"type": "progress", "item": 0, "phase": phase}), last_of="item")
        await signals.close()
        async with following(live, job_id) as stream:
            await eventually(lambda: len(stream.events) == 3)
        await gateway.edge.handle(records(*make.journey(live.account_id, job_id)))
        async with following(live, job_id) as afterwards:
            await eventually(lambda: afterwards.ended)

        assert stream.seqs == [1, 2]
        assert stream.events[2] == {
            "event": "progress",
            "data": {"job_id": job_id, "item": 0, "phase": "produced"},
        }
        assert all("id" in event for event in afterwards.events)

    async def test_a_number_that_is_none_is_refused(self, live, job_id):
        answer = await live.http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "-1"})

        assert answer.status_code == 422

    async def test_a_job_that_does_not_exist_has_no_stream(self, live):
        answer = await live.http.get(f"/v1/jobs/{new_id('job')}/events")

        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


class TestCredentials:
    """A stream lasts no longer than the credentials that opened it."""

    async def test_it_ends_with_its_key(self, gateway, live, job_id, make):
        made = (await live.http.post("/v1/api-keys", json={"name": "watcher"})).json()
        other = {"Authorization": f"Bearer {made['key']}"}
        async with following(live, job_id, **other) as its, following(live, job_id) as another:
            await eventually(lambda: its.seqs == another.seqs == [1])
            await live.http.delete(f"/v1/api-keys/{made['id']}")
            await gateway.edge.handle(records(make.held(live.account_id, job_id)))
            await eventually(lambda: its.ended and another.seqs == [1, 2])

            assert its.seqs == [1]
            assert not another.ended

    async def test_it_ends_with_its_session(self, live, job_id):
        page = {"Origin": str(live.http.base_url).rstrip("/")}
        await live.http.post("/enter", data={"api_key": live.key}, headers=page)
        del live.http.headers["Authorization"]
        async with following(live, job_id) as stream:
            await eventually(lambda: stream.seqs == [1])
            await live.http.post("/sign-out", headers=page)
            await eventually(lambda: stream.ended)


class TestManyStreams:
    @pytest.fixture
    def overrides(self):
        return {"max_streams": 2}

    async def test_one_too_many_is_refused_until_another_is_closed(self, live, job_id):
        path = f"/v1/jobs/{job_id}/events"
        async with following(live, job_id):
            async with following(live, job_id) as second:
                await eventually(lambda: second.seqs == [1])
                refused = await live.http.get(path)

            async def is_open():
                async with live.http.stream("GET", path) as answer:
                    return answer.status_code == 200

            await eventually(is_open)

        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")

    async def test_who_cannot_wait_is_answered_at_once(self, live, job_id, order):
        async with following(live, job_id) as first, following(live, job_id) as second:
            await eventually(lambda: first.seqs == second.seqs == [1])

            answer = await live.http.post("/v1/jobs", json=order, headers={"Prefer": "wait=60"})

        assert answer.status_code == 202


class TestWithoutRedis:
    @pytest.fixture
    def overrides(self):
        return {"redis_url": "redis://127.0.0.1:9/0"}

    async def test_streams_of_this_process_are_still_woken_at_once(self, gateway, live, job_id, make):
        async with following(live, job_id) as stream:
            await eventually(lambda: stream.seqs == [1])
            await gateway.edge.handle(records(*make.journey(live.account_id, job_id)))
            await eventually(lambda: stream.ended, timeout=0.9)  # before the poll of a second


class TestPace:
    """Without signals a quiet stream is looked at more and more rarely; many of them do not look at the same moment."""

    @staticmethod
    def waits(pace, count):
        return [pace.wait() for _ in range(count)]

    def test_what_stays_quiet_is_looked_at_more_rarely(self):
        waits = self.waits(Pace(lambda: False), 8)

        assert waits == [pytest.approx(seconds, rel=0.2) for seconds in (1, 1, 1, 2, 4, 5, 5, 5)]
        assert len(set(waits)) == len(waits)

    def test_news_bring_it_back(self):
        pace = Pace(lambda: False)
        self.waits(pace, 8)
        pace.begin_anew()

        assert self.waits(pace, 4) == [pytest.approx(seconds, rel=0.2) for seconds in (1, 1, 1, 2)]

    def test_with_signals_it_only_makes_sure(self):
        assert self.waits(Pace(lambda: True), 8) == [pytest.approx(3, rel=0.2)] * 8


class TestPreferWait:
    async def test_the_answer_is_the_finished_job(self, gateway, customer, order, make, rows_of, looks):
        async def finish():
            (row,) = await eventually(lambda: rows_of("jobs"))
            await eventually(lambda: looks)
            await gateway.edge.handle(records(*make.journey(customer.account_id, row["id"])))

        answer, _ = await asyncio.gather(
            customer.http.post("/v1/jobs", json=order, headers={"Prefer": "respond-async, wait=20"}), finish()
        )

        assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
        assert answer.headers["Preference-Applied"] == "wait=20"
        assert len(looks) > 2
        assert len(whole_rows(looks)) == 1

    async def test_a_job_that_takes_longer_is_answered_as_it_is(self, customer, order):
        answer = await customer.http.post("/v1/jobs", json=order, headers={"Prefer": "wait=0"})

        assert (answer.status_code, answer.json()["status"]) == (202, "queued")

    async def test_a_preference_that_is_not_understood_is_ignored(self, customer, order):
        answer = await customer.http.post("/v1/jobs", json=order, headers={"Prefer": "wait=soon"})

        assert answer.status_code == 202
        assert "Preference-Applied" not in answer.headers
