"""Plans over time: each paid invoice brings its credits once, and everybody can see who has a plan."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from billing.payments.fulfilment import Fulfilment
from billing.payments.stripe_api import StripeApi
from shared.events import CreditsExpired, CreditsGranted, SubscriptionChanged

FAILS_LATER = "4000000000000341"


async def subscribe(customer, stripe, gateway, plan="basic", number="4242424242424242"):
    await stripe.pay(await customer.check_out(plan=plan), number)
    await gateway.settle()
    return await customer.get("subscription")


class TestBeginning:
    async def test_a_plan_brings_its_credits_until_its_period_ends(self, customer, stripe, gateway, told, wallet_of):
        subscription = await subscribe(customer, stripe, gateway)

        assert (subscription["plan"], subscription["status"], subscription["is_subscriber"]) == (
            "basic",
            "active",
            True,
        )
        (granted,) = await told(CreditsGranted)
        assert (granted.source, granted.amount) == ("plan", 1_000_000)
        assert granted.expires_at == datetime.fromisoformat(subscription["subscription_expires_at"])
        assert await wallet_of(customer.account_id) == (1_000_000, 0)
        assert (await told(SubscriptionChanged))[-1].plan == "basic"

    async def test_the_wallet_shows_the_plan_and_what_expires_with_it(self, customer, stripe, gateway):
        subscription = await subscribe(customer, stripe, gateway)

        wallet = await customer.get("credits")
        before = await customer.get("credits?as_of=2020-01-01T00:00:00Z")

        ends = subscription["subscription_expires_at"]
        assert (wallet["plan"], wallet["is_subscriber"], wallet["subscription_expires_at"]) == ("basic", True, ends)
        assert wallet["next_expiry"] == {"amount": 1_000_000, "expires_at": ends}
        assert (before["available"], before["plan"], before["is_subscriber"]) == (0, None, None)

    async def test_a_plan_with_rollover_lets_credits_live_longer(self, customer, stripe, gateway, told):
        subscription = await subscribe(customer, stripe, gateway, plan="pro")

        (granted,) = await told(CreditsGranted)
        assert (granted.expires_at - datetime.fromisoformat(subscription["subscription_expires_at"])).days == 31

    async def test_a_second_plan_is_refused(self, customer, stripe, gateway):
        await subscribe(customer, stripe, gateway)

        answer = await customer.post("checkout-sessions", plan="pro")

        assert (answer.status_code, answer.json()["code"]) == (409, "already_subscribed")

    async def test_two_that_were_begun_at_once_are_both_honoured_and_the_better_one_counts(
        self, customer, stripe, gateway, wallet_of
    ):
        pages = [await customer.check_out(plan=plan) for plan in ("pro", "basic")]
        for page in pages:
            await stripe.pay(page)

        await gateway.settle()

        assert (await customer.get("subscription"))["plan"] == "pro"
        assert await wallet_of(customer.account_id) == (5_000_000, 0)


class TestRenewal:
    async def test_every_paid_invoice_brings_credits_once(self, customer, stripe, gateway, told):
        before = await subscribe(customer, stripe, gateway)

        await stripe.advance(32)
        await gateway.settle()
        await gateway.settle()

        assert len(await told(CreditsGranted)) == 2
        after = await customer.get("subscription")
        assert after["subscription_expires_at"] > before["subscription_expires_at"]

    async def test_a_card_that_fails_brings_none_until_another_pays(self, customer, stripe, gateway, told):
        await subscribe(customer, stripe, gateway, number=FAILS_LATER)
        await stripe.advance(32)
        await gateway.settle()
        assert (await customer.get("subscription"))["status"] == "past_due"
        assert len(await told(CreditsGranted)) == 1
        answer = await customer.post("checkout-sessions", plan="pro")
        assert answer.json()["code"] == "already_subscribed"

        (known,) = (await stripe.get("/customers"))["data"]
        await stripe.control("PUT", f"/customers/{known['id']}/card", number="4242424242424242")
        await stripe.advance(3)
        await gateway.settle()

        assert (await customer.get("subscription"))["status"] == "active"
        assert len(await told(CreditsGranted)) == 2

    async def test_a_change_of_plan_brings_the_new_plans_credits_with_its_first_whole_period(
        self, customer, stripe, gateway, told
    ):
        """Stripe's invoice begins with what the rest of the period was worth, and only its last line is a period."""
        await subscribe(customer, stripe, gateway)
        (plan,) = (await stripe.get("/subscriptions"))["data"]
        change = {"items[0][id]": plan["items"]["data"][0]["id"], "items[0][price]": "price_pro_monthly"}
        await stripe.post(f"/subscriptions/{plan['id']}", proration_behavior="create_prorations", **change)
        await gateway.settle()
        assert (await customer.get("subscription"))["plan"] == "pro"

        await stripe.advance(32)
        await gateway.settle()

        assert [(granted.reason, granted.amount) for granted in await told(CreditsGranted)] == [
            ("basic", 1_000_000),
            ("pro", 4_000_000),
        ]

    async def test_many_changes_of_plan_leave_the_period_on_a_later_page_of_the_invoice(
        self, customer, stripe, gateway, told
    ):
        """An invoice brings ten of its lines along, and each change puts two before that of the period."""
        await subscribe(customer, stripe, gateway)
        (plan,) = (await stripe.get("/subscriptions"))["data"]
        item = plan["items"]["data"][0]["id"]
        for price in ("price_pro_monthly", "price_basic_monthly") * 3:
            change = {"items[0][id]": item, "items[0][price]": price, "proration_behavior": "create_prorations"}
            await stripe.post(f"/subscriptions/{plan['id']}", **change)
        await stripe.advance(32)
        invoice = (await stripe.get("/invoices"))["data"][0]
        assert invoice["lines"]["has_more"] is True

        await gateway.settle()

        assert [granted.amount for granted in await told(CreditsGranted)] == [1_000_000, 1_000_000]

    async def test_a_period_that_is_over_when_billing_hears_of_it_expires_at_once(
        self, customer, stripe, billing, told, run_worker
    ):
        """Stripe's clock is behind ours, or a webhook was days on its way."""
        await stripe.pay(await customer.check_out(plan="basic"))
        (invoice,) = (await stripe.get("/invoices"))["data"]
        api = StripeApi.from_settings(billing.settings)
        fact = await api.invoice(invoice["id"], at=datetime.now(UTC))
        await api.close()

        ended = datetime.now(UTC) - timedelta(days=1)
        late = replace(fact, period_end=ended, paid_at=ended - timedelta(days=31))
        async with billing.db.write() as session:
            assert await Fulfilment(billing.settings.offers, bonus=0).apply(session, [late]) == "granted"

        (granted,) = await told(CreditsGranted)
        assert granted.amount == 1_000_000
        await run_worker("grant_expiries", until=lambda: told(CreditsExpired))
        assert [(expired.amount, expired.available) for expired in await told(CreditsExpired)] == [(1_000_000, 0)]

    @pytest.mark.parametrize(("days_late", "good_for"), [(-1, 1), (3, 31)])
    async def test_a_period_that_was_paid_after_its_end_lasts_as_long_from_then(
        self, customer, stripe, gateway, billing, told, days_late, good_for
    ):
        await subscribe(customer, stripe, gateway, number="4242424242424242")
        (invoice,) = (await stripe.get("/invoices"))["data"]
        api = StripeApi.from_settings(billing.settings)
        paid = await api.invoice(invoice["id"], at=datetime.now(UTC))
        await api.close()
        assert paid.paid_at == paid.period_start
        ended = datetime.now(UTC)
        late = replace(
            paid,
            object_id="in_late",
            period_start=ended - timedelta(days=31),
            period_end=ended,
            paid_at=ended + timedelta(days=days_late),
            payment_intents=(),
        )

        for _ in range(2):
            async with billing.db.write() as session:
                fulfilment = Fulfilment(billing.settings.offers, bonus=0)
                await fulfilment.apply(session, [replace(late, fetched_at=datetime.now(UTC))])

        granted = (await told(CreditsGranted))[1:]
        assert [grant.expires_at - late.paid_at for grant in granted] == [timedelta(days=good_for)]

    async def test_a_card_that_keeps_failing_ends_it(self, customer, stripe, gateway, told):
        await subscribe(customer, stripe, gateway, number=FAILS_LATER)

        await stripe.advance(50)
        await gateway.settle()

        ended = await customer.get("subscription")
        assert (ended["status"], ended["is_subscriber"]) == ("canceled", False)
        assert (await told(SubscriptionChanged))[-1].is_subscriber is False


class TestPortal:
    async def test_a_customer_cancels_there(self, customer, stripe, gateway):
        await subscribe(customer, stripe, gateway)
        portal = (await customer.post("portal-sessions")).json()
        (subscription,) = (await stripe.get("/subscriptions"))["data"]

        await stripe.http.post(portal["url"], data={"action": "cancel", "subscription": subscription["id"]})
        await gateway.settle()

        cancelled = await customer.get("subscription")
        assert (cancelled["is_subscriber"], cancelled["cancel_at_period_end"]) == (True, True)
        await stripe.advance(32)
        await gateway.settle()
        assert (await customer.get("subscription"))["status"] == "canceled"

    async def test_there_is_none_before_the_first_purchase(self, customer):
        answer = await customer.post("portal-sessions")

        assert (answer.status_code, answer.json()["code"]) == (409, "no_customer")

    async def test_it_leads_back_to_the_same_shop_only(self, customer):
        answer = await customer.post("portal-sessions", return_url="http://evil.example/")

        assert (answer.status_code, answer.json()["code"]) == (422, "foreign_url")


class TestRetiredPlan:
    @pytest.fixture
    def settings(self, settings):
        basic, pro = settings["plans"]
        return settings | {"plans": [basic | {"retired": True}, pro]}

    async def test_is_sold_no_more(self, customer):
        answer = await customer.post("checkout-sessions", plan="basic")

        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_offer")
        assert answer.json()["offers"] == ["pro"]

    async def test_is_honoured_for_those_who_have_it(self, customer, stripe, gateway, wallet_of):
        session = {
            "mode": "subscription",
            "line_items[0][price]": "price_basic_monthly",
            "success_url": "http://x.example/",
            "subscription_data[metadata][account_id]": customer.account_id,
        }
        await stripe.pay(await stripe.post("/checkout/sessions", **session))
        await gateway.settle()

        assert await wallet_of(customer.account_id) == (1_000_000, 0)
        assert (await customer.get("subscription"))["plan"] == "basic"


class TestLatestWins:
    async def test_an_answer_that_was_asked_for_earlier_never_replaces_a_later_one(
        self, customer, stripe, gateway, billing, rows_of
    ):
        await subscribe(customer, stripe, gateway)
        (before,) = await rows_of("subscriptions")
        api = StripeApi.from_settings(billing.settings)
        early = await api.subscription(before["id"], at=datetime(2020, 1, 1, tzinfo=UTC))
        await api.close()
        await stripe.post(f"/subscriptions/{before['id']}", cancel_at_period_end="true")
        await gateway.settle()

        async with billing.db.write() as session:
            assert await Fulfilment(billing.settings.offers, bonus=0).apply(session, [early]) == "superseded"

        (after,) = await rows_of("subscriptions")
        assert after["cancel_at_period_end"] is True
