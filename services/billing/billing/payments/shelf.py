"""The shelf: what is on offer, with what Stripe charges for it.

Amounts of money are Stripe's alone. They are asked for now and then and remembered; while Stripe is away an offer
stands here without a price tag, and its checkout page will say what it costs.
"""

import asyncio
import time

import structlog

from billing.payments.errors import StripeRefusedError, StripeUnavailableError
from billing.payments.offers import Offer, Offers, Plan
from billing.payments.schemas import OffersView, OfferView, PriceTag
from billing.payments.stripe_api import StripeApi

log = structlog.get_logger()

FRESH_SECONDS = 600.0
RETRY_SECONDS = 10.0


class Shelf:
    """The offers that are sold now; none without a Stripe key."""

    def __init__(self, api: StripeApi | None, offers: Offers) -> None:
        self._stripe = api
        self._offers = [offer for offer in offers.all() if not offer.retired] if api is not None else []
        self._tags: dict[str, PriceTag] = {}
        self._next_look = 0.0
        self._looked = False
        self._looking = asyncio.Lock()

    async def show(self) -> OffersView:
        """Packs first, then plans, each in the order of the settings; while somebody looks, as they were last seen."""
        if not (self._looked and self._looking.locked()):
            async with self._looking:
                if time.monotonic() >= self._next_look:
                    await self._look()
        return OffersView(data=[self._view(offer) for offer in self._offers])

    async def _look(self) -> None:
        pause = RETRY_SECONDS
        try:
            for offer in self._offers:
                assert self._stripe is not None, "without Stripe nothing is on the shelf"
                self._tags[offer.price_id] = await self._stripe.price_tag(offer.price_id)
            pause = FRESH_SECONDS
        except (StripeUnavailableError, StripeRefusedError) as error:
            log.warning("shelf.incomplete", offer=offer.name, reason=str(error))
        finally:
            self._looked = True
            self._next_look = time.monotonic() + pause

    def _view(self, offer: Offer) -> OfferView:
        return OfferView(
            name=offer.name,
            kind="plan" if isinstance(offer, Plan) else "pack",
            amount=offer.amount,
            price=self._tags.get(offer.price_id),
        )
