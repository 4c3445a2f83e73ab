"""How calls travel to Stripe."""

import asyncio
from datetime import UTC, datetime

import httpx2
import pytest

from billing.payments import stripe_api
from billing.payments.errors import StripeUnavailableError
from billing.payments.stripe_api import StripeApi


class TestConnections:
    async def test_calls_that_are_given_up_in_the_queue_keep_none(self, stripe, monkeypatch):
        monkeypatch.setattr(stripe_api, "CONNECTIONS", 2)
        api = StripeApi(api_key=stripe.key, url=stripe.url, timeout=0.5)
        try:
            await stripe.fault("timeout", "GET /v1/prices", times=2)
            calls = [api.price_tag("price_pack_500") for _ in range(20)]
            given_up = await asyncio.gather(*calls, return_exceptions=True)
            tag = await api.price_tag("price_pack_500")
        finally:
            await api.close()

        assert sum(isinstance(answer, StripeUnavailableError) for answer in given_up) > 2
        assert tag.amount == 500

    async def test_the_time_of_a_call_includes_the_wait_for_one(self, stripe, monkeypatch):
        monkeypatch.setattr(stripe_api, "CONNECTIONS", 1)
        api = StripeApi(api_key=stripe.key, url=stripe.url, timeout=1)
        try:
            await stripe.fault("timeout", "GET /v1/prices", times=20)
            async with asyncio.timeout(10):
                calls = [api.price_tag("price_pack_500") for _ in range(20)]
                answers = await asyncio.gather(*calls, return_exceptions=True)
        finally:
            await api.close()

        assert {type(answer) for answer in answers} == {StripeUnavailableError}


class TestPages:
    @pytest.fixture
    async def invoice(self, customer, stripe):
        """An invoice as Stripe tells it when it was paid in eleven parts; the twin charges one payment each."""
        await stripe.pay(await customer.check_out(plan="basic"))
        (known,) = (await stripe.get("/invoices"))["data"]
        told = await stripe.get(f"/invoices/{known['id']}", **{"expand[0]": "payments"})
        (payment,) = told["payments"]["data"]
        parts = [
            payment | {"id": f"inpay_{number}", "payment": payment["payment"] | {"payment_intent": f"pi_{number}"}}
            for number in range(11)
        ]
        return told | {"payments": told["payments"] | {"data": parts, "has_more": False}}

    async def test_an_invoice_that_was_paid_in_many_parts_names_all_of_them(self, invoice, billing, monkeypatch):
        parts = invoice["payments"]["data"]

        def answer(request):
            if request.url.path.endswith("/invoice_payments"):
                assert request.url.params["invoice"] == invoice["id"]
                return httpx2.Response(200, json=invoice["payments"])
            first = invoice["payments"] | {"data": parts[:10], "has_more": True}
            return httpx2.Response(200, json=invoice | {"payments": first})

        api = StripeApi.from_settings(billing.settings)
        await api.close()
        monkeypatch.setattr(api._http, "_http", httpx2.AsyncClient(transport=httpx2.MockTransport(answer)))
        try:
            fact = await api.invoice(invoice["id"], at=datetime.now(UTC))
        finally:
            await api.close()

        assert fact.payment_intents == tuple(f"pi_{number}" for number in range(11))
