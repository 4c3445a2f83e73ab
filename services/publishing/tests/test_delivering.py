"""Outcomes reach a real receiver, signed so that the official library accepts them, again and again if need be."""

import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook, WebhookVerificationError

from kit.testing import eventually, records
from publishing.app import build
from shared.events import DeliveryFailed, DeliverySucceeded
from shared.ids import new_id

ATTEMPTS = "SELECT number, outcome, status_code, error_code, response FROM attempts ORDER BY number"


class TestDeliver:
    async def test_the_official_library_verifies_what_arrives(
        self, publishing, working, journey, receiver, told, any_end
    ) -> None:
        made = journey(receiver.url, end=any_end)

        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            (event,) = await told()

        (got,) = receiver.received
        got.verify()
        status = any_end.__name__.removeprefix("Job").lower()
        assert got.payload["type"] == f"job.{status}"
        assert got.payload["data"]["status"] == status
        assert got.payload["data"]["job_id"] == made.ended.job_id
        assert got.payload["data"]["items"][0] == {
            "item": 0,
            "outcome": made.ended.items[0].outcome,
            "price": made.ended.items[0].price,
            "asset_id": made.ended.items[0].asset_id,
            "fallback": False,
            "failure": made.ended.items[0].failure,
        }
        assert got.headers["webhook-id"] == made.delivery_id
        assert got.headers["content-type"] == "application/json"
        assert got.headers["webhook-delivery-attempt"] == "1"
        assert got.headers["user-agent"].startswith("Atelier")
        assert isinstance(event, DeliverySucceeded)
        assert (event.delivery_id, event.attempts, event.status_code) == (made.delivery_id, 1, 204)
        assert event.envelope.causation_id == made.ended.envelope.id

    async def test_a_body_that_was_changed_on_the_way_does_not_verify(
        self, publishing, working, journey, receiver, told
    ) -> None:
        made = journey(receiver.url)
        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            await told()

        (got,) = receiver.received
        got.body = got.body.replace(b"delivered", b"cancelled")
        with pytest.raises(WebhookVerificationError):
            got.verify()

    async def test_without_a_secret_the_account_s_own_signs(self, publishing, working, journey, receiver, told) -> None:
        made = journey(receiver.url, secret=None)
        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            await told()

        router_secret = publishing.workers[0]._work.__self__._signer.account_secret(made.ended.account_id)
        receiver.received[0].verify(router_secret)
        assert router_secret.startswith("whsec_")

    async def test_a_job_without_delivery_leaves_no_trace(self, publishing, journey, rows) -> None:
        made = journey("http://127.0.0.1:1/")
        silent = made.requested.model_copy(update={"deliver": None}), made.ended.model_copy(update={"deliver": False})

        await publishing.edge.handle(records(*silent))

        assert await rows("SELECT 1 FROM deliveries") == []

    async def test_the_secret_stays_sealed_in_the_database(self, publishing, journey, rows) -> None:
        made = journey("http://127.0.0.1:1/")

        await publishing.edge.handle(records(made.requested))

        (row,) = await rows("SELECT deliveries::text AS everything FROM deliveries")
        assert "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" not in row["everything"]
        assert made.requested.deliver.sealed_secret in row["everything"]


class TestRetry:
    async def test_failures_are_retried_with_the_same_bytes_and_id(
        self, publishing, working, journey, receiver, told, rows
    ) -> None:
        receiver.say(500, 503)
        made = journey(receiver.url)

        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            (event,) = await told()

        assert len({got.body for got in receiver.received}) == 1
        assert {got.headers["webhook-id"] for got in receiver.received} == {made.delivery_id}
        assert [got.headers["webhook-delivery-attempt"] for got in receiver.received] == ["1", "2", "3"]
        for got in receiver.received:
            got.verify()
        assert [row["outcome"] for row in await rows(ATTEMPTS)] == ["failed", "failed", "succeeded"]
        assert event.attempts == 3

    async def test_after_the_whole_schedule_it_fails(self, publishing, working, journey, receiver, told, rows) -> None:
        receiver.say(500, 404, 429, 401)
        made = journey(receiver.url)

        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            (event,) = await told()

        assert isinstance(event, DeliveryFailed)
        assert (event.code, event.attempts, event.status_code) == ("http_status", 4, 401)
        assert [row["status_code"] for row in await rows(ATTEMPTS)] == [500, 404, 429, 401]

    async def test_gone_ends_it_at_once(self, publishing, working, journey, receiver, told) -> None:
        receiver.say(410)
        made = journey(receiver.url)

        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            (event,) = await told()

        assert (event.code, event.attempts) == ("gone", 1)

    async def test_a_redirect_is_a_failure_and_is_not_followed(
        self, publishing, working, journey, receiver, answer, told, rows
    ) -> None:
        receiver.say(answer(302, {"location": f"{receiver.url}/elsewhere"}))
        made = journey(receiver.url)

        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            await told()

        assert (await rows(ATTEMPTS))[0]["error_code"] == "redirected"
        assert {got.path for got in receiver.received} == {"/hooks"}

    @pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
    async def test_retry_after_is_honoured(self, publishing, working, journey, receiver, answer, rows, as_date) -> None:
        wish = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True) if as_date else "120"
        receiver.say(answer(429, {"retry-after": wish}))
        made = journey(receiver.url)

        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            (row,) = await eventually(
                lambda: rows(
                    "SELECT extract(epoch FROM due_at - now()) AS wait FROM deliveries"
                    " WHERE failures = 1 AND lease_token IS NULL"
                )
            )

        assert 100 < row["wait"] <= 121
        assert len(receiver.received) == 1

    async def test_a_wish_that_lies_outside_of_all_calendars_is_none(
        self, publishing, working, journey, receiver, answer, told, rows
    ) -> None:
        receiver.say(answer(429, {"retry-after": "Fri, 31 Dec 2026 23:59:59 -9999999999999999"}), answer(200))
        made = journey(receiver.url)

        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            (event,) = await told()

        assert event.attempts == 2
        assert [row["outcome"] for row in await rows(ATTEMPTS)] == ["failed", "succeeded"]

    async def test_a_receiver_that_is_not_there_is_retried_then_given_up(
        self, publishing, working, journey, told, rows
    ) -> None:
        made = journey("http://127.0.0.1:1/hooks")

        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            (event,) = await told()

        assert (event.code, event.status_code, event.attempts) == ("connect_failed", None, 4)

    async def test_a_receiver_that_does_not_answer_times_out(
        self, publishing, working, journey, receiver, answer, told, rows
    ) -> None:
        hold = asyncio.Event()
        receiver.say(answer(hold=hold))
        hasty = build(publishing.settings.model_copy(update={"request_timeout": timedelta(milliseconds=200)}))
        made = journey(receiver.url)

        async with working(hasty):
            await hasty.edge.handle(records(made.requested, made.ended))
            await told()
        hold.set()

        assert [row["error_code"] for row in await rows(ATTEMPTS)] == ["timeout", None]

    async def test_the_log_keeps_a_harmless_excerpt_of_the_answer(
        self, publishing, working, journey, receiver, answer, told, rows
    ) -> None:
        receiver.say(answer(200, {}, b"\x00\x1b[31mred\r\n" + b"x" * 100_000))
        made = journey(receiver.url)

        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            await told()

        (row,) = await rows(ATTEMPTS)
        assert len(row["response"]) <= 500
        assert row["response"].isprintable()
        assert "[31mred" in row["response"]

    async def test_a_secret_that_cannot_be_read_fails_at_once(
        self, publishing, working, journey, receiver, told
    ) -> None:
        made, other = journey(receiver.url), journey(receiver.url)
        swapped = made.requested.model_copy(update={"deliver": other.requested.deliver})

        async with working(publishing):
            await publishing.edge.handle(records(swapped, made.ended))
            (event,) = await told()

        assert (event.code, event.attempts) == ("secret_unusable", 1)
        assert receiver.received == []


class TestBadDays:
    async def test_a_process_killed_while_it_delivers_is_made_up_for_under_the_same_id(
        self, publishing, working, journey, receiver, answer, told, rows
    ) -> None:
        hold = asyncio.Event()
        receiver.say(answer(hold=hold))
        made = journey(receiver.url)
        first = build(publishing.settings.model_copy(update={"drain_timeout": timedelta(0)}))
        async with working(first):
            await first.edge.handle(records(made.requested, made.ended))
            await eventually(lambda: receiver.received)
        hold.set()
        async with publishing.db.write() as session:
            await session.execute(text("UPDATE deliveries SET leased_until = now() - interval '1 second'"))

        async with working(publishing):
            (event,) = await told()

        assert [row["outcome"] for row in await rows(ATTEMPTS)] == ["interrupted", "succeeded"]
        assert {got.headers["webhook-id"] for got in receiver.received} == {made.delivery_id}
        assert len({got.body for got in receiver.received}) == 1
        assert event.attempts == 2

    async def test_a_worker_that_lost_its_lease_does_not_end_the_delivery(
        self, publishing, working, journey, receiver, answer, rows, told
    ) -> None:
        hold = asyncio.Event()
        receiver.say(answer(500, hold=hold))
        made = journey(receiver.url)

        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            await eventually(lambda: receiver.received)
            async with publishing.db.write() as session:
                await session.execute(
                    text("UPDATE deliveries SET lease_token = gen_random_uuid(), leased_until = now()")
                )
            hold.set()
            (event,) = await told()

        assert isinstance(event, DeliverySucceeded)
        assert [row["outcome"] for row in await rows(ATTEMPTS)] == ["interrupted", "succeeded"]


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        [
            "http://10.0.0.1/hook",
            "http://192.168.1.1/hook",
            "http://172.16.0.1/hook",
            "http://169.254.169.254/latest/meta-data",
            "http://100.64.0.1/hook",
            "http://0.0.0.0/hook",
            "http://[fd00::1]/hook",
            "http://[fe80::1]/hook",
            "http://[::ffff:10.0.0.1]/hook",
            "http://[64:ff9b::a00:1]/hook",
            "http://[2002:a00:1::]/hook",
            "http://[::10.0.0.1]/hook",
            "http://224.0.0.1/hook",
            "http://0x7f.1:65536/hook",
            "http://user:password@example.com/hook",
            "ftp://example.com/hook",
            "file:///etc/passwd",
        ],
    )
    async def test_what_is_not_public_is_never_called(self, publishing, working, journey, told, url) -> None:
        made = journey(url)

        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            (event,) = await told()

        assert (event.code, event.attempts) == ("address_refused", 1)

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433"])
    async def test_this_machine_is_called_in_development_only(
        self, publishing, working, journey, receiver, told, host
    ) -> None:
        strict = build(publishing.settings.model_copy(update={"allow_loopback": False}))
        made = journey(receiver.url.replace("127.0.0.1", host))

        async with working(strict):
            await strict.edge.handle(records(made.requested, made.ended))
            (event,) = await told()

        assert event.code == "address_refused"
        assert receiver.received == []

    async def test_a_name_that_resolves_to_something_else_the_second_time_gains_nothing(
        self, publishing, working, journey, receiver, told, monkeypatch
    ) -> None:
        port = int(receiver.url.rpartition(":")[2].partition("/")[0])
        asked, resolve = [], socket.getaddrinfo

        def rebind(host, *arguments, **options):
            if host != "rebind.test":
                return resolve(host, *arguments, **options)
            asked.append(host)
            address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
            return [(2, 1, 6, "", (address, port))]

        monkeypatch.setattr(socket, "getaddrinfo", rebind)
        made = journey(f"http://rebind.test:{port}/hooks")

        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            await told()

        (got,) = receiver.received
        assert asked == ["rebind.test"]
        assert got.headers["host"] == f"rebind.test:{port}"

    async def test_a_name_with_one_private_answer_is_refused(
        self, publishing, working, journey, told, monkeypatch
    ) -> None:
        resolve = socket.getaddrinfo

        def mixed(host, *arguments, **options):
            if host != "mixed.test":
                return resolve(host, *arguments, **options)
            return [(2, 1, 6, "", ("93.184.216.34", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]

        monkeypatch.setattr(socket, "getaddrinfo", mixed)
        made = journey("http://mixed.test/hooks")

        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            (event,) = await told()

        assert event.code == "address_refused"


class TestVector:
    def test_the_published_vector_holds(self) -> None:
        body = json.dumps({"test": 2432232314})
        signed = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC), body
        )

        assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


class TestFairness:
    async def test_a_receiver_that_hangs_delays_no_other_account(self, publishing, working, journey, receiver) -> None:
        release, hanging = asyncio.Event(), []

        async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            hanging.append(writer)
            await release.wait()
            writer.close()

        account_id = new_id("acc")
        async with await asyncio.start_server(hang, "127.0.0.1", 0) as server, working(publishing):
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
            backlog = [journey(url, account_id=account_id, secret=None) for _ in range(200)]
            await publishing.edge.handle(records(*(event for one in backlog for event in (one.requested, one.ended))))
            await eventually(lambda: len(hanging) >= publishing.settings.delivery_concurrency // 2)

            other = journey(receiver.url)
            await publishing.edge.handle(records(other.requested, other.ended))
            await eventually(lambda: receiver.received)

            assert len(hanging) == publishing.settings.delivery_concurrency // 2
            release.set()
