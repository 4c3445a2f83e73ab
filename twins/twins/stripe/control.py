"""The control API under `/control/stripe`: what Stripe's dashboard, its customers, banks and the passing of time do.

Calls name an object, or an account by its secret key; without either they mean the account of `sk_test_demo`.
"""

from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from twins.state import Twins
from twins.stripe import catalogue, checkout, endpoints, portal, refunds
from twins.stripe.account import Object, shown
from twins.stripe.delivery_rules import DeliveryRule
from twins.stripe.errors import StripeError

DEMO_KEY = "sk_test_demo"


class ErrorsInStripesShape(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_as_stripe(request: Request) -> Response:
            try:
                return await handle(request)
            except StripeError as error:
                return error.response()

        return handle_as_stripe


router = APIRouter(prefix="/control/stripe", tags=["control"], route_class=ErrorsInStripesShape)


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AccountBody(Body):
    api_key: str = DEMO_KEY


class Catalogue(AccountBody):
    products: list[catalogue.SeededProduct]


class Endpoint(AccountBody):
    url: str
    secret: str = Field(pattern="^whsec_.")
    enabled_events: list[str] = ["*"]
    retry_seconds: list[float] = list(endpoints.RETRY_SECONDS)


class Rules(AccountBody):
    rules: list[DeliveryRule]


class Advance(AccountBody):
    seconds: int = Field(default=0, ge=0)
    days: int = Field(default=0, ge=0, le=3660)


class Pay(Body):
    number: str = "4242424242424242"
    email: str = "ada@example.com"


class Card(Body):
    number: str


class Settle(Body):
    succeeds: bool | None = None


class Dispute(Body):
    charge: str | None = None
    payment_intent: str | None = None
    amount: int | None = Field(default=None, ge=1)
    reason: str = "fraudulent"
    inquiry: bool = False


class Decision(Body):
    outcome: Literal["won", "lost"]


@router.get("/account")
async def read_account(twins: Twins, api_key: str = DEMO_KEY) -> dict[str, Any]:
    account = twins.stripe.of_key(api_key)
    return {"id": account.id, "now": account.now(), "objects": len(account.objects)}


@router.put("/catalogue", status_code=204)
async def put_catalogue(twins: Twins, body: Catalogue) -> None:
    with twins.stripe.change(twins.stripe.of_key(body.api_key)) as change:
        catalogue.seed(change, body.products)


@router.put("/endpoints")
async def put_endpoint(twins: Twins, body: Endpoint) -> Object:
    with twins.stripe.change(twins.stripe.of_key(body.api_key)) as change:
        return shown(
            endpoints.put_endpoint(
                change,
                url=body.url,
                enabled_events=body.enabled_events,
                secret=body.secret,
                retry_seconds=tuple(body.retry_seconds),
            )
        )


@router.get("/deliveries")
async def list_deliveries(twins: Twins, api_key: str = DEMO_KEY) -> list[dict[str, Any]]:
    account = twins.stripe.of_key(api_key)
    return [
        asdict(delivery) | {"type": account.objects[delivery.event]["type"]} for delivery in account.deliveries.values()
    ]


@router.get("/delivery-rules")
async def list_rules(twins: Twins, api_key: str = DEMO_KEY) -> list[DeliveryRule]:
    return twins.stripe.of_key(api_key).delivery_rules


@router.put("/delivery-rules")
async def replace_rules(twins: Twins, body: Rules) -> list[DeliveryRule]:
    twins.stripe.set_rules(twins.stripe.of_key(body.api_key), body.rules)
    return body.rules


@router.post("/clock")
async def advance_clock(twins: Twins, body: Advance) -> dict[str, int]:
    account = twins.stripe.of_key(body.api_key)
    twins.stripe.advance(account, body.seconds + body.days * 24 * 3600)
    return {"now": account.now()}


@router.post("/checkout-sessions/{session_id}/pay")
async def pay_session(twins: Twins, session_id: str, body: Pay) -> Object:
    with twins.stripe.change(twins.stripe.owning(session_id)) as change:
        return shown(checkout.pay_session(change, session_id, number=body.number, email=body.email))


@router.post("/payment-intents/{intent_id}/settle")
async def settle_payment(twins: Twins, intent_id: str, body: Settle) -> Object:
    with twins.stripe.change(twins.stripe.owning(intent_id)) as change:
        return shown(checkout.settle_payment(change, intent_id, succeeds=body.succeeds))


@router.put("/customers/{customer_id}/card", status_code=204)
async def change_card(twins: Twins, customer_id: str, body: Card) -> None:
    with twins.stripe.change(twins.stripe.owning(customer_id)) as change:
        portal.change_card(change, customer_id, number=body.number)


@router.post("/disputes")
async def open_dispute(twins: Twins, body: Dispute) -> Object:
    account = twins.stripe.owning(body.charge or body.payment_intent or "")
    with twins.stripe.change(account) as change:
        charge = body.charge or change.get(body.payment_intent or "")["latest_charge"]
        opened = refunds.open_dispute(change, charge, reason=body.reason, amount=body.amount, inquiry=body.inquiry)
        return shown(opened)


@router.post("/disputes/{dispute_id}/escalate")
async def escalate_inquiry(twins: Twins, dispute_id: str) -> Object:
    with twins.stripe.change(twins.stripe.owning(dispute_id)) as change:
        return shown(refunds.escalate_inquiry(change, dispute_id))


@router.post("/disputes/{dispute_id}/close")
async def decide_dispute(twins: Twins, dispute_id: str, body: Decision) -> Object:
    with twins.stripe.change(twins.stripe.owning(dispute_id)) as change:
        return shown(refunds.decide_dispute(change, dispute_id, outcome=body.outcome))


@router.post("/refunds/{refund_id}/fail")
async def fail_refund(twins: Twins, refund_id: str) -> Object:
    with twins.stripe.change(twins.stripe.owning(refund_id)) as change:
        return shown(refunds.fail_refund(change, refund_id))


@router.post("/events/{event_id}/resend", status_code=204)
async def resend_event(twins: Twins, event_id: str) -> None:
    """Send an event again to every endpoint, whatever became of it before."""
    with twins.stripe.change(twins.stripe.owning(event_id)) as change:
        change.resend(event_id)
