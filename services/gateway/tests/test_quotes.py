"""Jobs that cite a quote: billing is asked, the quoted price counts, and what does not fit is refused at once."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI

from kit import problems
from kit.identity import CallerDep, Verifier
from kit.problems import Problem
from kit.testing import IDENTITY, emitted, records
from shared.events import JobRequested
from shared.ids import new_id
from shared.jobs import parse_input
from shared.prices import fingerprint

QUOTE_ID = new_id("qte")


class Billing:
    """Billing, which has given one quote, and tells what was asked of it."""

    def __init__(self, order):
        wanted = fingerprint(order["kind"], parse_input(order["kind"], order["input"]))
        self.quote = {
            "id": QUOTE_ID,
            "price_version": "2026-11-21",
            "valid_until": (datetime.now(UTC) + timedelta(minutes=15)).isoformat(),
            "expired": False,
            "jobs": [
                {"kind": "image", "fingerprint": "another", "price": 9, "item_prices": [9]},
                {"kind": "image", "fingerprint": wanted, "price": 3_000, "item_prices": [3_000]},
            ],
        }
        self.available = 0
        self.asked = []
        self.silent = False
        self.app = FastAPI()
        self.app.state.service = self
        self.verifier = Verifier(IDENTITY.public_key, audience="billing")
        problems.install(self.app)

        @self.app.get("/v1/quotes/{quote_id}")
        async def get_quote(quote_id: str, caller: CallerDep):
            self.asked.append((quote_id, caller.account_id))
            if self.silent:
                await asyncio.Event().wait()
            if quote_id != QUOTE_ID:
                raise Problem(404, "quote_not_found", "no")
            return self.quote

        @self.app.get("/v1/credits")
        async def read_credits(caller: CallerDep):
            return {"available": self.available, "held": 0}


@pytest.fixture
async def billing(serve, order):
    billing = Billing(order)
    async with serve(billing.app) as url:
        billing.url = url
        yield billing


@pytest.fixture
def overrides(billing):
    return {
        "billing_url": billing.url,
        "confirmation_timeout": timedelta(seconds=5),
        "quote_timeout": timedelta(seconds=5),
    }


@pytest.fixture
def cited(order):
    return order | {"quote_id": QUOTE_ID}


async def requested(gateway):
    return [event for event in await emitted(gateway.db) if isinstance(event, JobRequested)]


class TestCited:
    async def test_the_job_gets_the_quoted_price(self, gateway, customer, billing, cited):
        answer = await customer.http.post("/v1/jobs", json=cited)

        assert (answer.status_code, answer.json()["credits"]["price"]) == (202, 3_000)
        (event,) = await requested(gateway)
        assert (event.quote_id, event.price, event.item_prices) == (QUOTE_ID, 3_000, (3_000,))
        assert event.price_version == "2026-11-21"
        assert billing.asked == [(QUOTE_ID, customer.account_id)]

    async def test_only_who_cites_a_quote_waits_for_billing(self, gateway, customer, billing, order):
        answer = await customer.http.post("/v1/jobs", json=order)

        assert (answer.status_code, answer.json()["credits"]["price"]) == (202, 4_000)
        assert billing.asked == []
        (event,) = await requested(gateway)
        assert event.quote_id is None

    async def test_whether_it_can_be_paid_is_judged_by_the_quoted_price(self, gateway, customer, cited, order, make):
        await gateway.edge.handle(records(make.granted(customer.account_id, available=3_000)))

        assert (await customer.http.post("/v1/jobs", json=cited)).status_code == 202
        refused = await customer.http.post("/v1/jobs", json=order)
        assert (refused.status_code, refused.json()["code"]) == (402, "insufficient_credits")

    async def test_a_replay_gets_its_answer_after_the_quote_has_expired(self, gateway, customer, billing, cited):
        first = await customer.http.post("/v1/jobs", json=cited, headers={"Idempotency-Key": "k"})
        billing.quote["expired"] = True

        again = await customer.http.post("/v1/jobs", json=cited, headers={"Idempotency-Key": "k"})

        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["Idempotent-Replay"] == "true"
        assert len(await requested(gateway)) == 1

    async def test_the_same_key_with_another_quote_is_a_conflict(self, customer, order, cited):
        await customer.http.post("/v1/jobs", json=order, headers={"Idempotency-Key": "k"})

        other = await customer.http.post("/v1/jobs", json=cited, headers={"Idempotency-Key": "k"})

        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


class TestRefused:
    async def test_an_unknown_quote(self, customer, cited, rows_of):
        answer = await customer.http.post("/v1/jobs", json=cited | {"quote_id": new_id("qte")})

        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_quote")
        assert await rows_of("jobs") == []

    @pytest.mark.parametrize("change", [{"expired": True}, {"valid_until": "2026-01-01T00:00:00Z"}])
    async def test_an_expired_quote_says_until_when_it_was_good(self, customer, billing, cited, change, rows_of):
        billing.quote |= change

        answer = await customer.http.post("/v1/jobs", json=cited, headers={"Idempotency-Key": "k"})

        assert (answer.status_code, answer.json()["code"]) == (422, "quote_expired")
        assert answer.json()["valid_until"][:4].isdigit()
        assert len(billing.asked) == 1
        assert await rows_of("jobs") == []

    @pytest.mark.parametrize("change", [{"prompt": "another"}, {"n": 2}, {"size": "1792x1024"}])
    async def test_a_quote_for_another_input(self, customer, cited, change):
        answer = await customer.http.post("/v1/jobs", json=cited | {"input": cited["input"] | change})

        assert (answer.status_code, answer.json()["code"]) == (422, "quote_mismatch")

    async def test_defaults_may_be_said_or_not(self, customer, cited):
        answer = await customer.http.post("/v1/jobs", json=cited | {"input": cited["input"] | {"n": 1}})

        assert answer.status_code == 202

    @pytest.mark.parametrize("quote_id", ["", "qte_1", "job_01KBHW3XJ0E4RAB1Q6TZZZ9V5C", 7, "qte_../../credits"])
    async def test_what_is_no_id_of_a_quote_never_reaches_billing(self, customer, billing, order, quote_id):
        answer = await customer.http.post("/v1/jobs", json=order | {"quote_id": quote_id})

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert [fault["field"] for fault in answer.json()["errors"]] == ["quote_id"]
        assert billing.asked == []

    async def test_a_debtor_is_told_so_whatever_the_job_costs(self, gateway, customer, billing, order, make):
        billing.available = -2_500
        await gateway.edge.handle(records(make.granted(customer.account_id, available=-2_500)))

        answer = await customer.http.post("/v1/jobs", json=order)

        assert (answer.status_code, answer.json()["code"]) == (402, "balance_negative")
        assert answer.json()["available"] == -2_500


class TestWithoutBilling:
    @pytest.fixture
    def overrides(self, billing):
        return {"billing_url": billing.url, "quote_timeout": timedelta(milliseconds=50)}

    async def test_the_job_is_accepted_by_the_prices_in_force_and_the_hold_decides(
        self, gateway, customer, billing, cited
    ):
        billing.silent = True

        answer = await customer.http.post("/v1/jobs", json=cited)

        assert (answer.status_code, answer.json()["credits"]["price"]) == (202, 4_000)
        (event,) = await requested(gateway)
        assert event.quote_id == QUOTE_ID
