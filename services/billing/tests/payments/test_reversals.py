"""Refunds and disputes of one payment side by side: in any order, the credits end where the money does."""

import pytest

from billing.payments.reconcile import reconcile_with_stripe
from billing.payments.stripe_api import StripeApi
from kit.testing import eventually, records
from shared.events import CreditsClawedBack, CreditsGranted

PACK = 500_000


@pytest.fixture
async def paid(customer, stripe, gateway):
    """A pack that was paid and granted."""
    bought = await stripe.pay(await customer.check_out())
    await gateway.settle()
    return bought["payment_intent"]


class Bank:
    """What becomes of the money of one payment, step by step."""

    def __init__(self, stripe, intent):
        self._stripe = stripe
        self._intent = intent

    async def refund(self, amount=None):
        wanted = {"amount": amount} if amount else {}
        self._refund = (await self._stripe.post("/refunds", payment_intent=self._intent, **wanted))["id"]

    async def fail(self):
        await self._stripe.control("POST", f"/refunds/{self._refund}/fail")

    async def dispute(self):
        self._dispute = (await self._stripe.control("POST", "/disputes", payment_intent=self._intent))["id"]

    async def close(self, outcome):
        await self._stripe.control("POST", f"/disputes/{self._dispute}/close", outcome=outcome)


@pytest.fixture
def bank(stripe, paid):
    return Bank(stripe, paid)


async def drifts(billing):
    api = StripeApi.from_settings(billing.settings)
    try:
        return await reconcile_with_stripe(billing.db, api, billing.settings.offers)
    finally:
        await api.close()


class TestRefundBesideDispute:
    @pytest.mark.parametrize(("outcome", "left"), [("won", PACK), ("lost", 0)])
    async def test_a_refund_that_fails_gives_nothing_back_while_the_dispute_has_the_money(
        self, bank, gateway, customer, billing, wallet_of, outcome, left
    ):
        """Stripe fails a refund that waits when its charge is disputed: `charge_for_pending_refund_disputed`."""
        await bank.refund()
        await gateway.settle()
        await bank.dispute()
        await gateway.settle()
        await bank.fail()
        await gateway.settle()
        assert await wallet_of(customer.account_id) == (0, 0)

        await bank.close(outcome)
        await gateway.settle()

        assert await wallet_of(customer.account_id) == (left, 0)
        assert await drifts(billing) == []

    async def test_a_dispute_that_is_won_gives_nothing_back_of_what_was_refunded(
        self, bank, stripe, gateway, customer, billing, wallet_of
    ):
        """The refund came first and is heard of last."""
        await bank.refund()
        await bank.dispute()
        await eventually(gateway._everything_sent)
        events = [event for message in await stripe.messages() if (event := gateway._read(message))]
        await billing.edge.handle(records(*(event for event in events if event.kind.startswith("charge.dispute"))))
        await gateway.work()
        await gateway.settle()
        assert await wallet_of(customer.account_id) == (0, 0)

        await bank.close("won")
        await gateway.settle()

        assert await wallet_of(customer.account_id) == (0, 0)
        assert await drifts(billing) == []

    async def test_what_a_dispute_takes_beyond_a_refund_is_what_returns(self, bank, gateway, customer, wallet_of, told):
        await bank.refund(200)
        await gateway.settle()
        await bank.dispute()
        await gateway.settle()

        await bank.close("won")
        await gateway.settle()

        assert await wallet_of(customer.account_id) == (PACK - 200_000, 0)
        assert [event.amount for event in await told(CreditsClawedBack)] == [200_000, 300_000]
        assert [event.amount for event in await told(CreditsGranted)] == [PACK, 300_000]
