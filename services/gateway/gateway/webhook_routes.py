"""HTTP in: webhooks of outside systems. They carry a signature instead of credentials."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from gateway.bodies import RawBody
from gateway.errors import webhooks_not_configured
from gateway.webhooks import STRIPE, Message, read_stripe, receive
from kit.http import WriteDep

STRIPE_PATH = "/webhooks/stripe"
STRIPE_BYTES = 256 * 1024
"""Events hold one object with what it contains; Stripe's largest stay well below."""


def make_router(stripe_secrets: tuple[str, ...]) -> APIRouter:
    """The routes of webhooks; their senders know them, so the public document does not list them."""
    router = APIRouter(include_in_schema=False)

    async def verify_stripe(request: Request, body: RawBody) -> Message:
        if not stripe_secrets:
            raise webhooks_not_configured(STRIPE)
        return read_stripe(body, request.headers.get("Stripe-Signature"), secrets=stripe_secrets)

    @router.post(STRIPE_PATH, status_code=204)
    async def receive_stripe(
        request: Request, body: RawBody, message: Annotated[Message, Depends(verify_stripe)], session: WriteDep
    ) -> Response:
        await receive(session, message, sender=STRIPE, headers=request.headers.items(), body=body)
        return Response(status_code=204)

    return router
