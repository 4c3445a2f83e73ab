"""What is on offer, as a shop shows it."""

import asyncio

import httpx2
import pytest

from billing.payments import shelf
from kit.testing import eventually


@pytest.fixture
async def public(billing):
    """Somebody without credentials."""
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(billing.create_app()), base_url="http://x") as client:
        yield client


class TestOffers:
    async def test_everything_sold_has_its_credits_and_stripes_price(self, public):
        answer = await public.get("/v1/offers")

        assert answer.status_code == 200
        pack, basic, pro = answer.json()["data"]
        assert (pack["name"], pack["kind"], pack["amount"]) == ("pack_500", "pack", 500_000)
        assert pack["price"] == {"amount": 500, "currency": "usd", "interval": None, "interval_count": 1}
        assert (basic["name"], basic["kind"]) == ("basic", "plan")
        assert (pro["price"]["amount"], pro["price"]["interval"]) == (2_900, "month")

    async def test_without_stripe_the_offers_stand_without_a_price(self, public, stripe):
        await stripe.fault("503", "GET /v1/prices")

        offers = (await public.get("/v1/offers")).json()["data"]

        assert [offer["name"] for offer in offers] == ["pack_500", "basic", "pro"]
        assert offers[0]["price"] is None


class TestSilentStripe:
    @pytest.fixture
    def settings(self, settings):
        return settings | {"stripe_timeout": 60}

    async def test_who_comes_while_another_looks_is_shown_what_is_known(self, public, stripe, monkeypatch):
        monkeypatch.setattr(shelf, "FRESH_SECONDS", 0.0)
        before = (await public.get("/v1/offers")).json()
        await stripe.fault("timeout", "GET /v1/prices")
        looking = asyncio.create_task(public.get("/v1/offers"))
        await eventually(stripe.faults_spent)

        async with asyncio.timeout(10):
            meanwhile = (await public.get("/v1/offers")).json()

        assert not looking.done()
        assert meanwhile == before
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


class TestRetired:
    @pytest.fixture
    def settings(self, settings):
        return settings | {"packs": [{**settings["packs"][0], "retired": True}]}

    async def test_what_is_retired_is_not_shown(self, public):
        assert [offer["name"] for offer in (await public.get("/v1/offers")).json()["data"]] == ["basic", "pro"]


class TestNothingSold:
    @pytest.fixture
    def settings(self, settings):
        return settings | {"stripe_api_key": None}

    async def test_without_a_key_the_shelf_is_empty(self, public):
        assert (await public.get("/v1/offers")).json() == {"data": []}
