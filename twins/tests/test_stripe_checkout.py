"""Checkout from the shop's request to the money, over the API and on the hosted page."""

import httpx2
import pytest
import stripe

DECLINED = "4000000000000002"
DEBIT = "AT611904300234573201"
FAILING_DEBIT = "AT861904300235473202"
OUTCOMES = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
)


class TestPayment:
    def test_a_pack_is_paid_and_everything_points_at_it(self, shop):
        session = shop.session(
            client_reference_id="acc_1",
            metadata={"pack": "500"},
            payment_intent_data={"metadata": {"account": "acc_1"}},
        )
        assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 500)

        paid = shop.pay(session)

        assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
        assert (paid.client_reference_id, paid.metadata["pack"], paid.customer) == ("acc_1", "500", None)
        charge = shop.charge(paid)
        assert (charge.amount, charge.paid, charge.metadata["account"]) == (500, True, "acc_1")
        assert shop.events() == [
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.succeeded",
            "checkout.session.completed",
        ]

    def test_a_declined_card_leaves_the_session_open_for_another(self, shop):
        session = shop.session()
        with pytest.raises(httpx2.HTTPStatusError):
            shop.pay(session, DECLINED)
        assert shop.api.checkout.sessions.retrieve(session.id).status == "open"

        paid = shop.pay(session)

        intent = shop.api.payment_intents.list().data
        assert [item.id for item in intent] == [paid.payment_intent]  # the same intent served both tries
        assert [charge.status for charge in shop.api.charges.list().data] == ["succeeded", "failed"]

    def test_nobody_pays_twice(self, shop):
        session = shop.session()
        shop.pay(session)

        with pytest.raises(httpx2.HTTPStatusError):
            shop.pay(session)
        assert len(shop.api.charges.list().data) == 1

    def test_a_customer_is_made_when_wanted_and_kept_when_known(self, shop):
        new = shop.buy(customer_creation="always")
        known = shop.buy(customer=new.customer)

        assert known.customer == new.customer
        assert [item.email for item in shop.api.customers.list().data] == ["ada@example.com"]


class TestBankDebit:
    def test_completes_unpaid_and_settles_later(self, shop):
        session = shop.buy(number=DEBIT)
        assert (session.status, session.payment_status) == ("complete", "unpaid")
        assert shop.events(*OUTCOMES) == ["checkout.session.completed"]

        shop.advance(days=4)

        assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "paid"
        assert shop.events(*OUTCOMES)[1:] == ["checkout.session.async_payment_succeeded"]

    def test_may_fail_instead(self, shop):
        session = shop.buy(number=FAILING_DEBIT)

        shop.advance(days=4)

        assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "unpaid"
        assert shop.events(*OUTCOMES)[1:] == ["checkout.session.async_payment_failed"]

    def test_the_control_api_decides_at_once(self, shop):
        intent = shop.buy(number=DEBIT).payment_intent

        shop.control("POST", f"/payment-intents/{intent}/settle", succeeds=False)

        assert shop.api.payment_intents.retrieve(intent).status == "requires_payment_method"


class TestExpiry:
    def test_by_the_shop(self, shop):
        session = shop.session()

        assert shop.api.checkout.sessions.expire(session.id).status == "expired"
        with pytest.raises(stripe.InvalidRequestError, match="Only Checkout Sessions"):
            shop.api.checkout.sessions.expire(session.id)
        with pytest.raises(httpx2.HTTPStatusError):
            shop.pay(session)

    def test_by_time(self, shop):
        session = shop.session()

        shop.advance(days=1)

        assert shop.api.checkout.sessions.retrieve(session.id).status == "expired"
        assert shop.events(*OUTCOMES) == ["checkout.session.expired"]


class TestCatalogue:
    def test_prices_are_seeded_made_and_retired(self, shop):
        seeded = {"id": "price_gold", "unit_amount": 9900, "recurring": {"interval": "year"}}
        products = [{"id": "prod_gold", "name": "Gold", "prices": [seeded]}]
        shop.control("PUT", "/catalogue", api_key=shop.key, products=products)
        made = shop.api.prices.create({"currency": "usd", "product": "prod_gold", "unit_amount": 1})
        shop.api.prices.update(made.id, {"active": False})

        gold = shop.api.prices.retrieve("price_gold", {"expand": ["product"]})
        assert (gold.product.name, gold.recurring.interval, int(gold.unit_amount_decimal)) == ("Gold", "year", 9900)
        with pytest.raises(stripe.InvalidRequestError, match="inactive"):
            shop.session(made.id)


class TestHostedPage:
    def submit(self, shop, session, **fields):
        form = {"email": "ada@example.com", "number": "4242 4242 4242 4242", "method": "card"} | fields
        return shop.twin.http.post(httpx2.URL(session.url).path, data=form)

    def test_shows_what_is_bought_and_sends_the_payer_back(self, shop):
        session = shop.session(
            success_url="http://shop.example/done?id={CHECKOUT_SESSION_ID}", cancel_url="http://x.y/no"
        )
        page = shop.twin.http.get(httpx2.URL(session.url).path)
        assert "500 credits" in page.text
        assert "$5.00" in page.text
        assert 'href="http://x.y/no"' in page.text
        assert "form-action 'self' http://shop.example;" in page.headers["content-security-policy"]

        answer = self.submit(shop, session)

        assert (answer.status_code, answer.headers["location"]) == (303, f"http://shop.example/done?id={session.id}")
        assert "There is nothing more to pay" in shop.twin.http.get(httpx2.URL(session.url).path).text

    @pytest.mark.parametrize(
        ("number", "told"),
        [
            (DECLINED, "Your card was declined."),
            ("4000 0000 0000 9995", "insufficient funds"),
            ("4242 4242 4242 4241", "number is incorrect"),
            ("4111 1111 1111 1111", "non test card"),
            ("<script>", "number is incorrect"),
        ],
    )
    def test_says_why_a_card_is_refused_and_keeps_what_was_typed(self, shop, number, told):
        answer = self.submit(shop, shop.session(), number=number)

        assert answer.status_code == 402
        assert told in answer.text
        assert 'value="ada@example.com"' in answer.text
        assert "<script>" not in answer.text.replace('<script src="/assets/checkout.js" defer></script>', "")

    def test_takes_a_bank_debit(self, shop):
        session = shop.session()

        assert self.submit(shop, session, method="sepa_debit").status_code == 303
        assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "unpaid"

    def test_an_unknown_page_is_a_404(self, shop):
        assert shop.twin.http.get("/stripe/pay/cs_test_none").status_code == 404
        assert shop.twin.http.get("/stripe/portal/bps_none").status_code == 404
        assert shop.twin.http.get("/stripe/dashboard/acct_none").status_code == 404
