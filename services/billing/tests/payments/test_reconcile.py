"""The books beside Stripe's: each payment and reversal that only one of them knows is found and named."""

import argparse

import pytest
from sqlalchemy import text

from billing import cli
from billing.app import build
from billing.clawbacks import claw_back
from billing.grants import grant_plan_period, grant_purchase
from billing.payments.reconcile import reconcile_with_stripe
from billing.payments.stripe_api import StripeApi
from billing.settings import BillingSettings
from kit import testing
from kit.testing import emitted

PACK = 500_000


@pytest.fixture
async def billing(stack, settings):
    """Billing whose books are cooked by the test, so the invariants do not hold after it."""
    async with testing.service("billing", BillingSettings, build, stack, **settings) as service:
        yield service
        for close in service.on_close:
            await close()


@pytest.fixture
async def pack(customer, stripe, gateway):
    """A pack that was paid and booked."""
    bought = await stripe.pay(await customer.check_out())
    await gateway.settle()
    return bought


@pytest.fixture
def drifts(billing):
    """Name, account, subject and both numbers of every drift."""

    async def find():
        api = StripeApi.from_settings(billing.settings)
        try:
            found = await reconcile_with_stripe(billing.db, api, billing.settings.offers)
        finally:
            await api.close()
        return [(drift.name, drift.account_id, drift.subject, drift.kept, drift.due) for drift in found]

    return find


async def book(service, what, **arguments):
    async with service.db.write() as session:
        await what(session, **arguments)


class TestAgreement:
    async def test_what_was_bought_refunded_and_disputed_has_no_drift(self, customer, stripe, gateway, drifts):
        refunded, disputed, won, failed = [await stripe.pay(await customer.check_out()) for _ in range(4)]
        await stripe.pay(await customer.check_out(plan="basic"))
        await stripe.post("/refunds", payment_intent=refunded["payment_intent"], amount=100)
        await stripe.control("POST", "/disputes", payment_intent=disputed["payment_intent"])
        lost = await stripe.control("POST", "/disputes", payment_intent=won["payment_intent"])
        back = await stripe.post("/refunds", payment_intent=failed["payment_intent"])
        await gateway.settle()
        await stripe.control("POST", f"/disputes/{lost['id']}/close", outcome="won")
        await stripe.control("POST", f"/refunds/{back['id']}/fail")
        await gateway.settle()

        assert await drifts() == []

    async def test_what_still_waits_for_its_worker_is_no_drift(self, customer, stripe, gateway, drifts):
        await stripe.pay(await customer.check_out())
        assert len(await drifts()) == 1

        await gateway.pass_on()

        assert await drifts() == []

    async def test_payments_of_somebody_else_are_none_of_ours(self, stripe, drifts):
        foreign = {"mode": "payment", "line_items[0][price]": "price_pack_500", "success_url": "http://x.example/"}
        made = await stripe.pay(await stripe.post("/checkout/sessions", **foreign))
        await stripe.post("/refunds", payment_intent=made["payment_intent"])

        assert await drifts() == []


class TestNotBooked:
    """Stripe has it and the books do not: its webhook was lost, and the sweep with it."""

    async def test_a_paid_session(self, customer, stripe, drifts):
        bought = await stripe.pay(await customer.check_out())

        assert await drifts() == [("session_not_booked", customer.account_id, bought["id"], 0, PACK)]

    async def test_a_paid_invoice(self, customer, stripe, drifts):
        await stripe.pay(await customer.check_out(plan="pro"))
        (invoice,) = (await stripe.get("/invoices"))["data"]

        assert await drifts() == [("invoice_not_booked", customer.account_id, invoice["id"], 0, 4_000_000)]

    async def test_a_refund(self, pack, customer, stripe, drifts):
        refund = await stripe.post("/refunds", payment_intent=pack["payment_intent"], amount=100)

        assert await drifts() == [("refund_not_booked", customer.account_id, refund["id"], 0, 100_000)]

    async def test_a_dispute(self, pack, customer, stripe, drifts):
        dispute = await stripe.control("POST", "/disputes", payment_intent=pack["payment_intent"])

        assert await drifts() == [("dispute_not_booked", customer.account_id, dispute["id"], 0, PACK)]

    async def test_a_refund_that_failed_and_a_dispute_that_was_won(self, customer, stripe, gateway, drifts):
        first, second = [await stripe.pay(await customer.check_out()) for _ in range(2)]
        refund = await stripe.post("/refunds", payment_intent=first["payment_intent"])
        dispute = await stripe.control("POST", "/disputes", payment_intent=second["payment_intent"])
        await gateway.settle()
        await stripe.control("POST", f"/refunds/{refund['id']}/fail")
        await stripe.control("POST", f"/disputes/{dispute['id']}/close", outcome="won")

        assert await drifts() == [
            ("dispute_not_returned", customer.account_id, dispute["id"], PACK, 0),
            ("refund_not_returned", customer.account_id, refund["id"], PACK, 0),
        ]


class TestWithoutStripe:
    """The books have it and Stripe does not: somebody's hand, or another Stripe account."""

    async def test_a_session(self, billing, customer, drifts):
        pack = {"amount": PACK, "reason": "pack_500", "bonus": 0}
        await book(billing, grant_purchase, account_id=customer.account_id, key="checkout:cs_forged", **pack)

        assert await drifts() == [("session_without_stripe", customer.account_id, "cs_forged", PACK, 0)]

    async def test_a_session_that_was_never_paid(self, billing, customer, stripe, drifts):
        checkout = await customer.check_out()
        (session,) = (await stripe.get("/checkout/sessions"))["data"]
        pack = {"amount": PACK, "reason": checkout["offer"], "bonus": 0}
        await book(billing, grant_purchase, account_id=customer.account_id, key=f"checkout:{session['id']}", **pack)

        assert await drifts() == [("session_without_stripe", customer.account_id, session["id"], PACK, 0)]

    async def test_an_invoice(self, billing, customer, drifts, rows_of):
        period = {"amount": 7, "plan": "basic", "period_end": (await clock(billing)), "bonus": 0}
        await book(billing, grant_plan_period, account_id=customer.account_id, key="invoice:in_forged", **period)

        assert await drifts() == [("invoice_without_stripe", customer.account_id, "in_forged", 7, 0)]

    @pytest.mark.parametrize("kind", ["refund", "dispute"])
    async def test_a_refund_or_dispute(self, pack, billing, customer, drifts, kind):
        taken = {"grant_key": f"checkout:{pack['id']}", "amount": 3_000, "reason": "refunded"}
        await book(billing, claw_back, account_id=customer.account_id, key=f"{kind}:forged", **taken)

        assert await drifts() == [(f"{kind}_without_stripe", customer.account_id, "forged", 3_000, 0)]


async def clock(service):
    async with service.db.read() as session:
        return await session.scalar(text("SELECT now() + interval '1 day'"))


class TestCommand:
    @pytest.fixture
    def command(self, billing):
        parser = argparse.ArgumentParser()
        cli.extend(parser.add_subparsers(required=True))
        parsed = parser.parse_args(["reconcile"])
        return lambda: parsed.run(billing, parsed)

    async def test_names_each_drift_and_changes_nothing(self, customer, stripe, billing, command, capsys):
        bought = await stripe.pay(await customer.check_out())

        assert await command() == 1

        told = f"session_not_booked: {bought['id']} of {customer.account_id} has 0, Stripe says {PACK}"
        assert told in capsys.readouterr().out.splitlines()
        assert await emitted(billing.db) == []

    async def test_says_so_when_both_agree(self, pack, command, capsys):
        assert await command() == 0
        assert "what Stripe says" in capsys.readouterr().out

    async def test_a_stripe_that_is_away_is_told(self, stripe, command, capsys):
        await stripe.fault("503", "GET /v1/checkout/sessions")

        assert await command() == 1
        assert "nothing was compared with Stripe" in capsys.readouterr().err
