"""How calls travel to Stripe."""

import asyncio

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
