"""A database from a backup: what was bought since is known to Stripe alone, and is granted all the same."""

import pytest
from sqlalchemy import delete

from billing.payments.reconcile import reconcile_with_stripe
from billing.payments.stripe_api import StripeApi
from billing.payments.tables import checkouts, customers
from kit.testing import records
from shared.ids import new_id

PACK = 500_000


@pytest.fixture
async def lost(customer, stripe, billing):
    """A pack that was paid after the backup: its checkout came by HTTP, and nothing brings that again."""
    bought = await stripe.pay(await customer.check_out())
    async with billing.db.write() as session:
        await session.execute(delete(checkouts))
        await session.execute(delete(customers))
    return bought


@pytest.fixture
def drifts(billing):
    async def find():
        api = StripeApi.from_settings(billing.settings)
        try:
            found = await reconcile_with_stripe(billing.db, api, billing.settings.offers)
        finally:
            await api.close()
        return [(drift.name, drift.subject, drift.kept, drift.due) for drift in found]

    return find


class TestRestored:
    async def test_a_pack_that_was_paid_since_the_backup_is_granted_once(
        self, lost, gateway, customer, rows_of, wallet_of, drifts
    ):
        await gateway.settle()
        await gateway.settle()

        assert await wallet_of(customer.account_id) == (PACK, 0)
        (checkout,) = await rows_of("checkouts")
        assert (checkout["state"], checkout["offer"], checkout["amount"]) == ("paid", "pack_500", PACK)
        assert (await customer.get(f"checkout-sessions/{checkout['id']}"))["state"] == "paid"
        assert await drifts() == []

    async def test_its_refund_is_taken_back_too(self, lost, stripe, gateway, customer, wallet_of):
        await stripe.post("/refunds", payment_intent=lost["payment_intent"], amount=200)

        await gateway.settle()

        assert await wallet_of(customer.account_id) == (PACK - 200_000, 0)

    async def test_one_that_nothing_told_of_is_a_drift(self, lost, drifts):
        assert await drifts() == [("session_not_booked", lost["id"], 0, PACK)]

    async def test_a_session_of_an_older_release_says_not_what_it_is_worth_and_is_a_drift(
        self, stripe, gateway, customer, billing, make, drifts
    ):
        await billing.edge.handle(records(make.registered(customer.account_id)))
        session = {"mode": "payment", "line_items[0][price]": "price_pack_500", "success_url": "http://x.example/"}
        metadata = {"metadata[checkout_id]": new_id("chk"), "metadata[account_id]": customer.account_id}
        made = await stripe.pay(await stripe.post("/checkout/sessions", **session, **metadata))
        await gateway.settle()

        assert await drifts() == [("session_not_booked", made["id"], 0, 0)]
