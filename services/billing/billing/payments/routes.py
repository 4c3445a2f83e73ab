"""Routes of payments."""

from typing import Annotated

from fastapi import APIRouter, Path

from billing.payments.offers import Offers
from billing.payments.schemas import CheckoutRequest, CheckoutView, PortalRequest, PortalView, SubscriptionView
from billing.payments.shop import Shop, checkout_of
from billing.payments.subscriptions import subscription_of
from kit.http import ReadDep
from kit.idempotency import KeyHeader
from kit.identity import CallerDep
from kit.problems import Responses
from shared.ids import CROCKFORD

CheckoutPath = Annotated[
    str,
    Path(
        pattern=rf"^chk_[0-7][{CROCKFORD}]{{25}}$",
        description="Id of the checkout session.",
        examples=["chk_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"],
    ),
]
NOT_SOLD: Responses = {
    409: {"description": "There is a subscription already, or the Idempotency-Key was used with another body."},
    429: {"description": "Too many checkouts of the account at a time."},
    502: {"description": "Stripe refused the request."},
    503: {"description": "Stripe is away or not configured."},
}
NO_PORTAL: Responses = {
    409: {"description": "Nothing was bought yet."},
    429: {"description": "Too many checkouts of the account at a time."},
    502: {"description": "Stripe refused the request."},
    503: {"description": "Stripe is away or not configured."},
}
UNKNOWN: Responses = {404: {"description": "There is no such checkout session."}}


def make_payment_router(shop: Shop, offers: Offers) -> APIRouter:
    """The routes of payments."""
    router = APIRouter(prefix="/v1", tags=["payments"])

    @router.post("/checkout-sessions", status_code=201, summary="Buy a pack or a plan", responses=NOT_SOLD)
    async def check_out(wish: CheckoutRequest, caller: CallerDep, idempotency_key: KeyHeader = None) -> CheckoutView:
        """Open a page of Stripe on which to pay. Credits arrive when the payment is confirmed."""
        return await shop.check_out(wish, account_id=caller.account_id, key=idempotency_key)

    @router.get("/checkout-sessions/{checkout_id}", summary="Read a checkout session", responses=UNKNOWN)
    async def read_checkout(checkout_id: CheckoutPath, caller: CallerDep, session: ReadDep) -> CheckoutView:
        """How far a purchase got."""
        return await checkout_of(session, checkout_id, account_id=caller.account_id)

    @router.post("/portal-sessions", status_code=201, summary="Open the customer portal", responses=NO_PORTAL)
    async def open_portal(wish: PortalRequest, caller: CallerDep) -> PortalView:
        """A page of Stripe on which to change or cancel a subscription, and to see invoices."""
        return PortalView(url=await shop.open_portal(wish.return_url, account_id=caller.account_id))

    @router.get("/subscription", summary="Read the subscription")
    async def read_subscription(caller: CallerDep, session: ReadDep) -> SubscriptionView:
        """The caller's plan and until when it is paid."""
        return await subscription_of(session, account_id=caller.account_id, offers=offers)

    return router
