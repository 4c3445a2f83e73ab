"""Refunds and disputes."""

import httpx2
import pytest
import stripe


class TestRefund:
    def test_in_parts_and_never_more_than_was_paid(self, shop):
        intent = shop.buy().payment_intent

        first = shop.api.refunds.create({"payment_intent": intent, "amount": 200})
        with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
            shop.api.refunds.create({"payment_intent": intent, "amount": 301})
        rest = shop.api.refunds.create({"payment_intent": intent, "metadata": {"why": "kindness"}})

        assert (first.amount, rest.amount, rest.metadata["why"]) == (200, 300, "kindness")
        charge = shop.api.charges.retrieve(rest.charge, {"expand": ["refunds"]})
        assert (charge.amount_refunded, charge.refunded) == (500, True)
        assert [refund.id for refund in charge.refunds.data] == [rest.id, first.id]
        with pytest.raises(stripe.InvalidRequestError, match="already been refunded") as caught:
            shop.api.refunds.create({"payment_intent": intent})
        assert caught.value.code == "charge_already_refunded"
        assert shop.events("refund.created", "charge.refunded") == ["refund.created", "charge.refunded"] * 2

    def test_may_fail_afterwards(self, shop):
        refund = shop.api.refunds.create({"payment_intent": shop.buy().payment_intent})

        shop.control("POST", f"/refunds/{refund.id}/fail")

        assert shop.api.refunds.retrieve(refund.id).status == "failed"
        assert shop.api.charges.retrieve(refund.charge).amount_refunded == 0
        assert "refund.failed" in shop.events()

    def test_nothing_unpaid_is_refunded(self, shop):
        pending = shop.buy(number="AT611904300234573201")

        with pytest.raises(stripe.InvalidRequestError, match="successful charge"):
            shop.api.refunds.create({"payment_intent": pending.payment_intent})
        with pytest.raises(stripe.InvalidRequestError, match="should be provided"):
            shop.api.refunds.create({})


class TestDispute:
    @pytest.mark.parametrize("outcome", ["won", "lost"])
    def test_is_opened_and_decided(self, shop, outcome):
        charge = shop.charge(shop.buy())

        dispute = shop.control("POST", "/disputes", charge=charge.id, reason="product_not_received")
        shop.control("POST", f"/disputes/{dispute['id']}/close", outcome=outcome)

        found = shop.api.disputes.list({"charge": charge.id}).data[0]
        assert (found.status, found.amount, found.payment_intent) == (outcome, 500, charge.payment_intent)
        assert shop.api.charges.retrieve(charge.id).disputed
        created, *_, last = shop.events(
            "charge.dispute.created", "charge.dispute.closed", "charge.dispute.funds_reinstated"
        )
        assert created == "charge.dispute.created"
        assert last == ("charge.dispute.funds_reinstated" if outcome == "won" else "charge.dispute.closed")

    def test_may_begin_as_an_inquiry(self, shop):
        inquiry = shop.control("POST", "/disputes", charge=shop.charge(shop.buy()).id, inquiry=True)
        assert inquiry["status"] == "warning_needs_response"
        assert shop.events("charge.dispute.funds_withdrawn") == []

        shop.control("POST", f"/disputes/{inquiry['id']}/escalate")

        assert shop.api.disputes.retrieve(inquiry["id"]).status == "needs_response"
        wanted = ("charge.dispute.updated", "charge.dispute.funds_withdrawn")
        assert shop.events(*wanted) == [*wanted]
        with pytest.raises(httpx2.HTTPStatusError):
            shop.control("POST", f"/disputes/{inquiry['id']}/escalate")

    def test_stands_in_the_way_of_a_refund_and_of_another(self, shop):
        charge = shop.charge(shop.buy())
        shop.control("POST", "/disputes", charge=charge.id)

        with pytest.raises(stripe.InvalidRequestError, match="charged back"):
            shop.api.refunds.create({"charge": charge.id})
        with pytest.raises(httpx2.HTTPStatusError):
            shop.control("POST", "/disputes", charge=charge.id)

    def test_comes_with_the_card_that_is_known_for_it(self, shop):
        session = shop.buy(number="4000000000000259")

        assert session.payment_status == "paid"
        assert shop.api.disputes.list().data[0].payment_intent == session.payment_intent

    def test_the_shop_can_give_in(self, shop):
        dispute = shop.control("POST", "/disputes", payment_intent=shop.buy().payment_intent)

        assert shop.api.disputes.close(dispute["id"]).status == "lost"


class TestDashboard:
    def test_shows_everything_and_plays_the_bank(self, shop):
        charge = shop.charge(shop.buy())
        shop.subscribe()
        account = shop.twin.http.get("/control/stripe/account", params={"api_key": shop.key}).json()["id"]
        path = f"/stripe/dashboard/{account}"

        for action in ("refund", "dispute"):
            assert shop.twin.http.post(path, data={"action": action, "object": charge.id}).status_code == 303
        shop.twin.http.post(path, data={"action": "advance", "object": "31"})

        page = shop.twin.http.get(path).text
        assert "$5.00 refunded" in page
        assert "needs_response" in page
        assert len(shop.api.invoices.list().data) == 2
        again = shop.twin.http.post(path, data={"action": "refund", "object": charge.id})
        assert (again.status_code, "charged back" in again.text) == (400, True)
        assert account in shop.twin.http.get("/stripe").text
