"""HTTP in: webhooks of outside systems. They carry a signature instead of credentials."""

from fastapi import APIRouter, Request, Response

from gateway.errors import webhooks_not_configured
from gateway.webhooks import STRIPE, read_stripe, receive
from kit.http import WriteDep

STRIPE_PATH = "/webhooks/stripe"
STRIPE_BYTES = 256 * 1024
"""Events hold one object with what it contains; Stripe's largest stay well below."""


def make_router(stripe_secrets: tuple[str, ...]) -> APIRouter:
    """The routes of webhooks; their senders know them, so the public document does not list them."""
    router = APIRouter(include_in_schema=False)

    @router.post(STRIPE_PATH, status_code=204)
    async def receive_stripe(request: Request, session: WriteDep) -> Response:
        if not stripe_secrets:
            raise webhooks_not_configured(STRIPE)
        body = await request.body()
        message = read_stripe(body, request.headers.get("Stripe-Signature"), secrets=stripe_secrets)
        await receive(session, message, sender=STRIPE, headers=request.headers.items(), body=body)
        return Response(status_code=204)

    return router
