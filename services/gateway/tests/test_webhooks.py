"""Webhooks of Stripe, as they reach the public edge: genuine, repeated, forged, late, broken and too large."""

import asyncio
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.retention import KEEP_WEBHOOKS, RULES
from gateway.webhook_routes import STRIPE_BYTES
from kit.problems import MEDIA_TYPE
from kit.retention import Retention
from kit.testing import emitted
from shared.events import WebhookReceived

SECRET, OLD_SECRET = "whsec_new", "whsec_old"


def event(event_id="evt_1", kind="checkout.session.completed", **thing):
    content = {"id": event_id, "object": "event", "type": kind, "data": {"object": {"id": "cs_1"} | thing}}
    return json.dumps(content).encode()


def signed(body, *, secret=SECRET, age=0):
    stamp = int(time.time()) - age
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={stamp},v1={digest}", "Content-Type": "application/json; charset=utf-8"}


@pytest.fixture
def overrides():
    return {"stripe_webhook_secrets": f"{SECRET}, {OLD_SECRET}"}


@pytest.fixture
def told(gateway):
    """What others were told of webhooks."""

    async def events():
        return [event for event in await emitted(gateway.db) if isinstance(event, WebhookReceived)]

    return events


@pytest.fixture
def post(http):
    """Send a message as Stripe does, without credentials."""

    async def send(body, headers=None):
        return await http.post("/webhooks/stripe", content=body, headers=headers or signed(body))

    return send


class TestGenuine:
    async def test_it_is_kept_as_it_came_and_told_as_a_pointer(self, post, told, rows_of):
        body = event(amount=500)

        answer = await post(body, signed(body) | {"Cookie": "atelier_session=x", "Authorization": "Bearer y"})

        assert (answer.status_code, answer.content) == (204, b"")
        (row,) = await rows_of("webhooks")
        assert (row["sender"], row["external_id"], row["body"]) == ("stripe", "evt_1", body)
        kept = dict(row["headers"])
        assert kept["stripe-signature"].startswith("t=")
        assert {"cookie", "authorization"} & kept.keys() == set()
        (message,) = await told()
        assert (message.subject, message.sender, message.external_id) == ("stripe:cs_1", "stripe", "evt_1")
        assert (message.kind, message.object_id) == ("checkout.session.completed", "cs_1")
        assert message.received_at == row["received_at"]

    async def test_while_a_secret_is_rotated_both_are_good(self, post, told):
        bodies = [event("evt_1"), event("evt_2")]

        answers = [await post(bodies[0]), await post(bodies[1], signed(bodies[1], secret=OLD_SECRET))]

        assert [answer.status_code for answer in answers] == [204, 204]
        assert [message.external_id for message in await told()] == ["evt_1", "evt_2"]

    async def test_bytes_count_not_their_meaning(self, post):
        spaced = json.dumps(json.loads(event()), indent=2).encode() + b"\n"

        assert (await post(spaced)).status_code == 204

    async def test_what_is_of_nothing_that_can_be_fetched_is_only_kept(self, post, told, rows_of):
        answer = await post(event(kind="balance.available", id=None))

        assert answer.status_code == 204
        assert len(await rows_of("webhooks")) == 1
        assert await told() == []

    async def test_it_is_forgotten_after_its_time(self, gateway, post, rows_of):
        await post(event())
        retention = Retention(gateway.db, RULES)

        await retention.sweep(datetime.now(UTC))
        assert len(await rows_of("webhooks")) == 1
        await retention.sweep(datetime.now(UTC) + KEEP_WEBHOOKS + timedelta(seconds=1))
        assert await rows_of("webhooks") == []


class TestRepeated:
    async def test_a_replay_within_the_tolerance_has_no_effect(self, post, told, rows_of):
        body = event()
        headers = signed(body)

        answers = [await post(body, headers) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [204, 204, 204]
        assert len(await rows_of("webhooks")) == 1
        assert len(await told()) == 1

    async def test_an_event_sent_again_with_another_signature_has_no_effect(self, post, told):
        body = event()

        await post(body, signed(body, age=200))
        await post(body, signed(body))

        assert len(await told()) == 1

    async def test_many_at_once_are_one(self, post, told, rows_of):
        answers = await asyncio.gather(*(post(event()) for _ in range(20)))

        assert {answer.status_code for answer in answers} == {204}
        assert len(await rows_of("webhooks")) == 1
        assert len(await told()) == 1

    async def test_several_events_of_one_object_are_each_told_under_one_key(self, post, told):
        await post(event("evt_1"))
        await post(event("evt_2", "checkout.session.expired"))

        assert [message.key for message in await told()] == ["stripe:cs_1", "stripe:cs_1"]


class TestRefused:
    @pytest.mark.parametrize(
        "tamper",
        [
            lambda body: (body, signed(body, secret="whsec_forged")),
            lambda body: (body, signed(body, age=301)),
            lambda body: (body, signed(body, age=-360)),
            lambda body: (body[: len(body) // 2], signed(body)),
            lambda body: (body.replace(b"cs_1", b"cs_2"), signed(body)),
            lambda body: (body + b" ", signed(body)),
            lambda body: (b"", signed(body)),
            lambda body: (body, {}),
            lambda body: (body, {"Stripe-Signature": "t=abc,v1=00"}),
            lambda body: (body, {"Stripe-Signature": "t=1,t=2,v1=00"}),
            lambda body: (body, {"Stripe-Signature": signed(body)["Stripe-Signature"].replace("v1=", "v0=")}),
            lambda body: (body, {"Stripe-Signature": "t=1,v1=\u00e4".encode()}),
        ],
        ids=[
            "forged",
            "old",
            "from the future",
            "truncated",
            "changed",
            "longer",
            "empty",
            "unsigned",
            "no time",
            "two times",
            "another scheme",
            "not ASCII",
        ],
    )
    async def test_what_stripe_did_not_sign_just_now_has_no_effect(self, post, told, rows_of, tamper):
        body, headers = tamper(event())

        answer = await post(body, headers or {"X-Empty": "1"})

        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_signature")
        assert answer.headers["Content-Type"] == MEDIA_TYPE
        assert SECRET not in answer.text
        assert await rows_of("webhooks") == []
        assert await told() == []

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"\xff",
            b"[]",
            b"null",
            b"[" * 50_000,
            b'{"id": "evt_1"}',
            b'{"id": 7, "type": "invoice.paid"}',
            b'{"id": "evt_1", "type": ""}',
            b'{"id": "a\\u0000b", "type": "invoice.paid"}',
        ],
    )
    async def test_a_signed_message_that_is_no_event_is_told_so(self, post, rows_of, body):
        answer = await post(body)

        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_webhook")
        assert await rows_of("webhooks") == []

    async def test_an_oversized_message_is_not_read_to_its_end(self, post, rows_of):
        largest = event(padding="x" * (STRIPE_BYTES - len(event(padding=""))))

        assert (await post(largest)).status_code == 204
        answer = await post(event("evt_2", padding="x" * STRIPE_BYTES))

        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert len(await rows_of("webhooks")) == 1

    async def test_only_post_is_understood(self, http):
        assert (await http.get("/webhooks/stripe")).status_code == 405


class TestNotConfigured:
    @pytest.fixture(params=[None, "", " , "])
    def overrides(self, request):
        return {"stripe_webhook_secrets": request.param}

    async def test_without_a_secret_nothing_is_believed(self, post, told):
        answer = await post(event(), signed(event(), secret=""))

        assert (answer.status_code, answer.json()["code"]) == (503, "webhooks_not_configured")
        assert await told() == []
