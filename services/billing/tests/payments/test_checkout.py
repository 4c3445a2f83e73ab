"""Buying: the routes, and what happens when a request breaks off half-way."""

import asyncio

import pytest

from billing.payments.price_check import check_prices
from billing.payments.stripe_api import StripeApi
from billing.settings import BillingSettings
from kit import testing
from kit.settings import ConfigurationError
from shared.ids import new_id

# What every service must be told.
REST = {"database_url": "x", "kafka_bootstrap": "x", "http_port": 1, "identity_public_key": "x"}


class TestPack:
    async def test_is_paid_for_on_stripes_page_and_brings_its_credits(self, customer, stripe, gateway, wallet_of):
        checkout = await customer.check_out(pack="pack_500")
        assert (checkout["state"], checkout["amount"]) == ("open", 500_000)

        await stripe.pay(checkout)
        await gateway.settle()

        assert (await customer.get(f"checkout-sessions/{checkout['id']}"))["state"] == "paid"
        assert await wallet_of(customer.account_id) == (500_000, 0)

    async def test_a_bank_debit_brings_them_when_it_settles(self, customer, stripe, gateway, rows_of, wallet_of):
        checkout = await customer.check_out()
        await stripe.pay(checkout, "AT611904300234573201")
        await gateway.settle()
        assert (await customer.get(f"checkout-sessions/{checkout['id']}"))["state"] == "processing"
        assert await rows_of("grants") == []

        await stripe.advance(4)
        await gateway.settle()

        assert await wallet_of(customer.account_id) == (500_000, 0)

    @pytest.mark.parametrize(("number", "days", "state"), [("AT861904300235473202", 4, "failed"), (None, 1, "expired")])
    async def test_what_is_never_paid_brings_nothing(self, customer, stripe, gateway, rows_of, number, days, state):
        checkout = await customer.check_out()
        if number:
            await stripe.pay(checkout, number)

        await stripe.advance(days)
        await gateway.settle()

        assert (await customer.get(f"checkout-sessions/{checkout['id']}"))["state"] == state
        assert await rows_of("grants") == []

    async def test_each_purchase_counts_and_there_is_one_customer(self, customer, stripe, gateway, wallet_of):
        for _ in range(2):
            await stripe.pay(await customer.check_out())

        await gateway.settle()

        assert await wallet_of(customer.account_id) == (1_000_000, 0)
        (known,) = (await stripe.get("/customers"))["data"]
        assert known["metadata"] == {"account_id": customer.account_id}


class TestRequest:
    @pytest.mark.parametrize(
        ("wish", "code"),
        [
            ({"pack": "pack_9"}, "unknown_offer"),
            ({"plan": "pack_500"}, "unknown_offer"),
            ({}, "invalid_request"),
            ({"pack": "pack_500", "plan": "pro"}, "invalid_request"),
            ({"pack": "pack_500", "success_url": "http://evil.example/"}, "foreign_url"),
            ({"pack": "pack_500", "cancel_url": "javascript:alert(1)"}, "foreign_url"),
            ({"pack": "pack_500", "success_url": "http://["}, "foreign_url"),
        ],
    )
    async def test_says_what_is_wrong_with_it(self, customer, wish, code):
        answer = await customer.post("checkout-sessions", **wish)

        assert (answer.status_code, answer.json()["code"]) == (422, code)

    @pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", b"\xe4"])
    async def test_what_is_no_idempotency_key_is_told(self, customer, rows_of, key):
        answer = await customer.post("checkout-sessions", key=key, pack="pack_500")

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_idempotency_key")
        assert await rows_of("checkouts") == []

    @pytest.mark.parametrize("checkout_id", ["%00", "chk_1"])
    async def test_what_is_no_id_is_told(self, billing, account_id, checkout_id):
        async with testing.client(billing, account_id=account_id) as http:
            answer = await http.get(f"/v1/checkout-sessions/{checkout_id}")

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")

    async def test_needs_credentials_and_shows_nobody_elses(self, customer, billing):
        checkout = await customer.check_out()

        async with testing.client(billing, account_id=new_id("acc")) as other:
            assert (await other.get(f"/v1/checkout-sessions/{checkout['id']}")).status_code == 404
        async with testing.client(billing) as nobody:
            assert (await nobody.post("/v1/checkout-sessions", json={"pack": "pack_500"})).status_code == 401

    async def test_may_name_its_own_pages_of_the_same_shop(self, customer, stripe):
        page = "http://shop.example/done?id={CHECKOUT_SESSION_ID}"
        checkout = await customer.check_out(pack="pack_500", success_url=page)

        paid = await stripe.pay(checkout)

        assert paid["success_url"] == page
        assert paid["cancel_url"] == "http://shop.example/credits"


class TestRepetition:
    async def test_the_same_key_brings_the_same_session(self, customer, stripe):
        first, second = await asyncio.gather(customer.check_out(key="k"), customer.check_out(key="k"))

        assert (first["id"], first["url"]) == (second["id"], second["url"])
        assert len((await stripe.get("/checkout/sessions"))["data"]) == 1

    async def test_the_same_key_with_another_wish_is_a_conflict(self, customer):
        await customer.check_out(key="k", pack="pack_500")

        answer = await customer.post("checkout-sessions", key="k", plan="pro")

        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")

    @pytest.mark.parametrize("fault", ["drop-after-success", "drop", "500", "429"])
    @pytest.mark.parametrize("call", ["POST /v1/checkout/sessions", "POST /v1/customers"])
    async def test_an_answer_that_was_lost_is_found_again(self, customer, stripe, fault, call):
        await stripe.fault(fault, call)
        lost = await customer.post("checkout-sessions", key="k", pack="pack_500")
        assert (lost.status_code, lost.json()["code"]) == (503, "payments_unavailable")

        assert (await customer.check_out(key="k", pack="pack_500"))["state"] == "open"

        assert len((await stripe.get("/checkout/sessions"))["data"]) == 1
        assert len((await stripe.get("/customers"))["data"]) == 1

    async def test_a_stripe_that_refuses_us_is_told_and_the_same_wish_may_be_repeated(self, customer, stripe):
        await stripe.fault("quota", "POST /v1/checkout/sessions")  # no fault of Stripe's: the twin answers 400
        refused = await customer.post("checkout-sessions", key="k", pack="pack_500")
        assert (refused.status_code, refused.json()["code"]) == (502, "payments_refused")

        assert (await customer.check_out(key="k", pack="pack_500"))["state"] == "open"

    async def test_a_process_that_dies_before_its_commit_leaves_a_session_that_is_paid_all_the_same(
        self, customer, stripe, gateway, rows_of, wallet_of
    ):
        await stripe.fault("drop-after-success", "POST /v1/checkout/sessions")
        await customer.post("checkout-sessions", pack="pack_500")
        (session,) = (await stripe.get("/checkout/sessions"))["data"]

        await stripe.pay(session)
        await gateway.settle()

        (checkout,) = await rows_of("checkouts")
        assert (checkout["state"], checkout["session_id"]) == ("paid", session["id"])
        assert await wallet_of(customer.account_id) == (500_000, 0)


class TestPrices:
    async def check(self, stripe, settings, **changes):
        offers = BillingSettings(**REST, **settings | changes).offers
        api = StripeApi(api_key=changes.get("stripe_api_key", stripe.key), url=stripe.url, timeout=5)
        try:
            await check_prices(api, offers)
        finally:
            await api.close()

    async def test_good_ones_pass_and_a_stripe_that_is_away_stops_nobody(self, stripe, settings):
        await self.check(stripe, settings)
        await stripe.fault("500", "GET /v1/prices")
        await self.check(stripe, settings)

    @pytest.mark.parametrize(
        ("price", "fault"),
        [("price_none", "there is no price"), ("price_pro_monthly", "is recurring, not one_time")],
    )
    async def test_a_wrong_one_is_named(self, stripe, settings, price, fault):
        packs = [{"name": "gold", "price_id": price, "credits": 1}]

        with pytest.raises(ConfigurationError, match=f"gold: .*{fault}"):
            await self.check(stripe, settings, packs=packs, plans=[])

    async def test_an_inactive_one_may_only_be_retired(self, stripe, settings):
        await stripe.post("/prices/price_pack_500", active="false")
        retired = [settings["packs"][0] | {"retired": True}]

        await self.check(stripe, settings, packs=retired)
        with pytest.raises(ConfigurationError, match="not active"):
            await self.check(stripe, settings)

    async def test_a_wrong_key_is_told(self, stripe, settings):
        with pytest.raises(ConfigurationError, match="BILLING_STRIPE_API_KEY"):
            await self.check(stripe, settings, stripe_api_key="sk_test_invalid")

    def test_no_price_is_sold_twice(self, settings):
        with pytest.raises(ValueError, match="the same price_id"):
            BillingSettings(**REST, packs=[*settings["packs"], settings["packs"][0] | {"name": "again"}])


class TestWithoutStripe:
    @pytest.fixture
    def settings(self):
        return {}

    async def test_nothing_is_sold_and_all_else_works(self, customer):
        answer = await customer.post("checkout-sessions", pack="pack_500")

        assert (answer.status_code, answer.json()["code"]) == (503, "payments_not_configured")
        assert (await customer.get("subscription"))["status"] == "none"
