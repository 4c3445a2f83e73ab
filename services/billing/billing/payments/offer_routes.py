"""The route of what is on offer."""

from fastapi import APIRouter

from billing.payments.schemas import OffersView
from billing.payments.shelf import Shelf


def make_offer_router(shelf: Shelf) -> APIRouter:
    """The route of the shelf."""
    router = APIRouter(prefix="/v1", tags=["payments"])

    @router.get("/offers", summary="List packs and plans")
    async def list_offers() -> OffersView:
        """What can be bought, and what it costs. Needs no credentials."""
        return await shelf.show()

    return router
