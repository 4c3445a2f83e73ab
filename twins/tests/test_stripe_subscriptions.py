"""Subscriptions over time: renewals, cards that stop working, cancellation, and the portal."""

from datetime import UTC, datetime

import httpx2
import pytest
import stripe

from twins.stripe.periods import period_start

FAILS_LATER = "4000000000000341"
MONTH = {"interval": "month", "interval_count": 1}


def period(subscription):
    item = subscription["items"].data[0]
    return item.current_period_start, item.current_period_end


def reasons(shop):
    return [(invoice.billing_reason, invoice.status) for invoice in shop.api.invoices.list().data][::-1]


class TestBeginning:
    def test_checkout_makes_an_active_subscription_with_a_paid_invoice(self, shop):
        data = {"metadata": {"account_id": "acc_1"}}
        session = shop.buy("price_pro_monthly", mode="subscription", subscription_data=data)

        subscription = shop.api.subscriptions.retrieve(session.subscription, {"expand": ["latest_invoice.payments"]})
        invoice = subscription.latest_invoice
        assert (subscription.status, subscription.metadata["account_id"]) == ("active", "acc_1")
        assert (invoice.id, invoice.status, invoice.amount_paid) == (session.invoice, "paid", 2900)
        assert invoice.parent.subscription_details.subscription == subscription.id
        assert invoice.parent.subscription_details.metadata["account_id"] == "acc_1"
        line = invoice.lines.data[0]
        assert line.pricing.price_details.price == "price_pro_monthly"
        assert (line.period.start, line.period.end) == period(subscription)
        paid_by = invoice.payments.data[0].payment.payment_intent
        wanted = {"payment": {"type": "payment_intent", "payment_intent": paid_by}}
        assert [found.invoice for found in shop.api.invoice_payments.list(wanted).data] == [invoice.id]

    def test_a_declined_card_makes_none(self, shop):
        with pytest.raises(httpx2.HTTPStatusError):
            shop.subscribe(number="4000000000000002")

        assert shop.api.subscriptions.list().data == []
        assert shop.api.invoices.list().data == []

    def test_a_debit_that_fails_leaves_it_past_due(self, shop):
        subscription = shop.subscribe(number="AT861904300235473202")
        assert subscription.status == "active"

        shop.advance(days=4)

        assert shop.api.subscriptions.retrieve(subscription.id).status == "past_due"
        assert "invoice.payment_failed" in shop.events()


class TestRenewal:
    def test_each_period_has_its_invoice(self, shop):
        subscription = shop.subscribe()

        shop.advance(days=65)

        renewed = shop.api.subscriptions.retrieve(subscription.id)
        assert reasons(shop) == [("subscription_create", "paid"), *[("subscription_cycle", "paid")] * 2]
        assert period(renewed)[0] > period(subscription)[1]
        assert shop.events("invoice.paid") == ["invoice.paid"]  # the one of the last 30 days

    def test_a_failing_card_is_tried_again_and_then_ends_it(self, shop):
        subscription = shop.subscribe(number=FAILS_LATER)

        shop.advance(days=32)
        assert shop.api.subscriptions.retrieve(subscription.id).status == "past_due"
        shop.advance(days=16)

        ended = shop.api.subscriptions.retrieve(subscription.id)
        assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
        assert shop.api.invoices.list({"status": "open"}).data[0].attempt_count == 4
        assert shop.events("invoice.payment_failed", "customer.subscription.deleted") == [
            *["invoice.payment_failed"] * 4,
            "customer.subscription.deleted",
        ]
        assert shop.api.subscriptions.list().data == []
        assert len(shop.api.subscriptions.list({"status": "all"}).data) == 1

    def test_another_card_brings_it_back(self, shop):
        subscription = shop.subscribe(number=FAILS_LATER)
        shop.advance(days=32)
        shop.control("PUT", f"/customers/{subscription.customer}/card", number="5555555555554444")

        shop.advance(days=3)

        assert shop.api.subscriptions.retrieve(subscription.id).status == "active"
        assert reasons(shop)[-1] == ("subscription_cycle", "paid")

    def test_the_day_of_the_month_survives_a_short_month(self):
        anchor = int(datetime(2027, 1, 31, 12, tzinfo=UTC).timestamp())

        starts = [datetime.fromtimestamp(period_start(anchor, MONTH, number), UTC) for number in range(14)]

        assert [f"{start:%m-%d}" for start in starts[:5]] == ["01-31", "02-28", "03-31", "04-30", "05-31"]
        assert f"{starts[13]:%Y-%m-%d}" == "2028-02-29"


class TestChanges:
    def test_a_cancelled_one_runs_to_the_end_of_its_period(self, shop):
        subscription = shop.subscribe()
        cancelled = shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
        assert (cancelled.status, cancelled.cancel_at) == ("active", period(subscription)[1])

        shop.advance(days=32)

        assert shop.api.subscriptions.retrieve(subscription.id).status == "canceled"
        assert reasons(shop) == [("subscription_create", "paid")]
        with pytest.raises(stripe.InvalidRequestError):
            shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": False})

    def test_an_event_says_what_changed(self, shop):
        subscription = shop.subscribe()
        shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})

        event = shop.api.events.list({"type": "customer.subscription.updated"}).data[0]

        assert event.data.previous_attributes["cancel_at_period_end"] is False
        assert event.data.object["cancel_at_period_end"] is True
        assert event.request.id.startswith("req_")

    def test_another_plan_counts_from_the_next_invoice(self, shop):
        subscription = shop.subscribe("price_basic_monthly")
        item = subscription["items"].data[0].id
        shop.api.subscriptions.update(subscription.id, {"items": [{"id": item, "price": "price_pro_monthly"}]})

        shop.advance(days=32)

        assert [invoice.total for invoice in shop.api.invoices.list().data] == [2900, 900]

    def test_the_rest_of_the_period_may_be_prorated_on_that_invoice(self, shop):
        subscription = shop.subscribe("price_basic_monthly")
        change = {"items": [{"id": subscription["items"].data[0].id, "price": "price_pro_monthly"}]}
        shop.api.subscriptions.update(subscription.id, change | {"proration_behavior": "create_prorations"})

        shop.advance(days=32)

        invoice = shop.api.invoices.list().data[0]
        back, rest, period = invoice.lines.data
        assert [line.parent.subscription_item_details.proration for line in (back, rest, period)] == [True, True, False]
        assert back.amount == pytest.approx(-900, abs=1)  # a second or two of the period may have passed
        assert rest.amount == pytest.approx(2900, abs=1)
        assert period.amount == 2900
        assert invoice.amount_paid == back.amount + rest.amount + period.amount

    def test_an_invoice_brings_ten_of_its_lines_and_lists_the_others(self, shop):
        """The prorations come first, so the period is among the others."""
        subscription = shop.subscribe("price_basic_monthly")
        item = subscription["items"].data[0].id
        for price in ("price_pro_monthly", "price_basic_monthly") * 3:
            change = {"items": [{"id": item, "price": price}], "proration_behavior": "create_prorations"}
            shop.api.subscriptions.update(subscription.id, change)

        shop.advance(days=32)

        invoice = shop.api.invoices.list().data[0]
        lines = list(invoice.lines.auto_paging_iter())
        assert (len(invoice.lines.data), invoice.lines.has_more) == (10, True)
        assert len({line.id for line in lines}) == 13
        assert [line.parent.subscription_item_details.proration for line in lines] == [True] * 12 + [False]
        assert [line.id for line in shop.api.invoices.line_items.list(invoice.id, {"limit": 100})] == [
            line.id for line in lines
        ]
        after = {"starting_after": lines[9].id}
        assert [line.id for line in shop.api.invoices.line_items.list(invoice.id, after)] == [
            line.id for line in lines[10:]
        ]
        told = shop.api.events.list({"type": "invoice.paid"}).data[0].data.object
        assert (len(told["lines"]["data"]), told["lines"]["has_more"]) == (10, True)

    def test_it_can_end_at_once(self, shop):
        subscription = shop.subscribe()

        assert shop.api.subscriptions.cancel(subscription.id).status == "canceled"
        assert shop.events("customer.subscription.deleted") == ["customer.subscription.deleted"]


class TestPortal:
    def open(self, shop, customer):
        portal = shop.api.billing_portal.sessions.create({"customer": customer, "return_url": "http://shop.example/"})
        return httpx2.URL(portal.url).path

    def test_a_customer_cancels_and_thinks_again(self, shop):
        subscription = shop.subscribe()
        path = self.open(shop, subscription.customer)
        assert "Renews on" in shop.twin.http.get(path).text

        for action, told, wished in (("cancel", "Ends on", True), ("keep", "Renews on", False)):
            form = {"action": action, "subscription": subscription.id}
            assert shop.twin.http.post(path, data=form).status_code == 303
            assert told in shop.twin.http.get(path).text
            assert shop.api.subscriptions.retrieve(subscription.id).cancel_at_period_end is wished

    def test_a_customer_changes_the_card_and_pays_what_is_open(self, shop):
        subscription = shop.subscribe(number=FAILS_LATER)
        shop.advance(days=32)
        path = self.open(shop, subscription.customer)
        invoice = shop.api.invoices.list({"status": "open"}).data[0]

        declined = shop.twin.http.post(path, data={"action": "pay", "invoice": invoice.id})
        assert "Your card was declined." in declined.text
        shop.twin.http.post(path, data={"action": "card", "number": "4242424242424242"})
        shop.twin.http.post(path, data={"action": "pay", "invoice": invoice.id})

        assert shop.api.subscriptions.retrieve(subscription.id).status == "active"
        assert shop.api.invoices.retrieve(invoice.id).status == "paid"

    def test_nobody_reaches_what_belongs_to_another(self, shop):
        mine, other = shop.subscribe(), shop.subscribe()

        shop.twin.http.post(self.open(shop, mine.customer), data={"action": "cancel", "subscription": other.id})

        assert shop.api.subscriptions.retrieve(other.id).cancel_at_period_end is False

    def test_a_link_expires(self, shop):
        path = self.open(shop, shop.subscribe().customer)

        shop.advance(seconds=3601)

        assert shop.twin.http.get(path).status_code == 404
