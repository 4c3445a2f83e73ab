"""The page of credits: what billing tells, in words; and what is left of it when billing is silent."""

import re
from html import unescape

import httpx2
import pytest
from fastapi import FastAPI, Request

from kit import problems
from kit.identity import CallerDep, Verifier
from kit.testing import IDENTITY, records

PACK = {
    "name": "pack_500",
    "kind": "pack",
    "amount": 500_000,
    "price": {"amount": 500, "currency": "usd", "interval": None, "interval_count": 1},
}
PLAN = {
    "name": "pro_yearly",
    "kind": "plan",
    "amount": 4_000_000,
    "price": {"amount": 2_950, "currency": "eur", "interval": "month", "interval_count": 3},
}
NO_PLAN = {
    "plan": None,
    "status": "none",
    "is_subscriber": False,
    "subscription_expires_at": None,
    "cancel_at_period_end": False,
}
JOB_ID = "job_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"


def movement(kind, *entries, left=0, job_id=None):
    return {
        "id": "txn_1",
        "kind": kind,
        "job_id": job_id,
        "created_at": "2026-11-21T12:00:00Z",
        "entries": [{"account": account, "amount": amount} for account, amount in entries],
        "available_after": left,
        "held_after": 0,
        "wallet_version": 1,
    }


class Billing:
    """Billing, which answers what a test gives it, and only to who is known."""

    def __init__(self):
        self.answers = {
            "/v1/credits": {"available": 46_000, "held": 4_000, "next_expiry": None},
            "/v1/subscription": NO_PLAN,
            "/v1/offers": {"data": [PACK, PLAN]},
            "/v1/credits/transactions": {"data": [], "next_cursor": None},
        }
        self.callers = set()
        self.queries = set()
        self.app = FastAPI()
        self.app.state.service = self
        self.verifier = Verifier(IDENTITY.public_key, audience="billing")
        problems.install(self.app)

        @self.app.get("/{path:path}")
        async def answer(path: str, request: Request, caller: CallerDep):
            self.callers.add(caller.account_id)
            self.queries.add(request.url.query)
            return self.answers[f"/{path}"]


@pytest.fixture
async def billing(serve):
    billing = Billing()
    async with serve(billing.app) as url:
        billing.url = url
        yield billing


@pytest.fixture
def overrides(billing):
    return {"billing_url": billing.url}


@pytest.fixture
def read(browser, account):
    """The page's words."""

    async def words(**headers):
        page = await browser.get("/credits", headers=headers)
        assert page.status_code == 200
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())

    return words


class TestPage:
    async def test_it_shows_balance_offers_and_no_plan(self, read, billing, account):
        words = await read()

        assert "46 4 held for running jobs" in words
        assert "500 credits $5 Buy" in words
        assert "Pro yearly 4,000 credits every 3 months €29.50 every 3 months Subscribe" in words
        assert "None. Credits come as you buy them." in words
        assert "Manage plan" not in words
        assert billing.callers == {account}

    async def test_it_says_what_expires_next(self, read, billing):
        expiry = {"amount": 10_000, "expires_at": "2026-12-21T00:00:00Z"}
        billing.answers["/v1/credits"] |= {"next_expiry": expiry}

        assert "10 credits expire on 21 Dec 2026" in await read()

    async def test_who_owes_is_told_why_and_what_to_do(self, read, billing):
        billing.answers["/v1/credits"] = {"available": -12_500, "held": 0}

        words = await read()

        assert "\N{MINUS SIGN}12.5" in words
        assert "refunded or disputed" in words
        assert "New jobs are refused until the balance is no longer below zero" in words
        assert "None of them expires" not in words

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"status": "active", "is_subscriber": True}, "Pro yearly renews on 21 Dec 2026"),
            (
                {"status": "active", "is_subscriber": True, "cancel_at_period_end": True},
                "Pro yearly ends on 21 Dec 2026",
            ),
            ({"status": "past_due", "is_subscriber": True}, "The last payment failed."),
            ({"status": "unpaid", "is_subscriber": False}, "The last payments failed."),
        ],
    )
    async def test_a_plan_is_shown_with_its_state_and_can_be_managed(self, read, billing, changes, sentence):
        until = {"plan": "pro_yearly", "subscription_expires_at": "2026-12-21T00:00:00Z"}
        billing.answers["/v1/subscription"] = NO_PLAN | until | changes

        words = await read()

        assert sentence in words
        assert "Manage plan, cards and invoices" in words
        assert "Subscribe" not in words

    async def test_the_latest_movements_are_told_in_words(self, read, billing):
        billing.answers["/v1/credits/transactions"]["data"] = [
            movement("clawback", ("customer.available", -9_000), ("funding.purchase", 9_000), left=-4_000),
            movement(
                "settle",
                ("customer.held", -8_000),
                ("customer.available", 4_000),
                ("platform.earned", 8_000),
                ("platform.loss", -4_000),
                left=5_000,
                job_id=JOB_ID,
            ),
            movement("hold", ("customer.available", -8_000), ("customer.held", 8_000), left=1_000, job_id=JOB_ID),
            movement("grant", ("funding.purchase", -9_000), ("customer.available", 9_000), left=9_000),
            movement("mystery", ("customer.available", 1), left=1),
        ]

        words = await read()

        assert "Taken back after a refund or dispute \N{MINUS SIGN}9" in words
        assert "4 credits paid for a job +4" in words
        assert "Set aside for a job \N{MINUS SIGN}8" in words
        assert "Credits bought +9" in words
        assert "Mystery +0.001" in words
        assert "Manage plan, cards and invoices" in words  # what was bought can be looked up
        assert billing.queries == {"", "limit=8"}

    async def test_an_installation_that_sells_nothing_says_so(self, read, billing):
        billing.answers["/v1/offers"] = {"data": []}

        words = await read()

        assert "Nothing is sold here" in words
        assert "Packs" not in words

    async def test_an_offer_without_a_price_tag_can_still_be_bought(self, read, billing):
        billing.answers["/v1/offers"] = {"data": [PACK | {"price": None}]}

        assert "500 credits Buy" in await read()

    async def test_an_answer_that_makes_no_sense_is_a_part_that_is_away(self, read, billing):
        billing.answers["/v1/subscription"] = ["?"]

        words = await read()

        assert "A part of this page is away" in words
        assert "500 credits $5 Buy" in words


class TestComingIn:
    async def test_somebody_who_is_not_signed_in_comes_back_here(self, browser, open_account):
        _, key = await open_account()
        page = await browser.get("/credits")
        assert 'value="/credits"' in page.text

        entered = await browser.post("/enter", data={"api_key": key, "next": "/credits"})

        assert entered.headers["Location"] == "/credits"

    async def test_back_from_the_payment_page_a_navigation_of_our_own_brings_the_cookie(self, browser):
        answer = await browser.get("/credits", headers={"Sec-Fetch-Site": "cross-site"})

        assert '<meta http-equiv="refresh" content="0;url=/credits">' in answer.text

    async def test_nothing_on_it_needs_an_exception_to_the_policy(self, browser, account):
        page = (await browser.get("/credits")).text

        assert " style=" not in page
        assert not re.search(r"\son\w+=", page)
        assert all("src=" in script for script in re.findall(r"<script\b([^>]*)>", page))


class TestWithoutBilling:
    @pytest.fixture
    def overrides(self):
        return {}

    async def test_the_last_known_balance_is_shown(self, gateway, browser, account, make):
        await gateway.edge.handle(records(make.granted(account, available=-3_000)))

        page: httpx2.Response = await browser.get("/credits")

        assert page.status_code == 200
        assert "\N{MINUS SIGN}3" in page.text
        assert "A part of this page is away" in page.text
