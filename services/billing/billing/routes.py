"""HTTP in: the caller's wallet and transactions, and the public price table."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from billing.errors import unknown_price_version
from billing.holds import Terms
from billing.refunds import REFUNDS
from billing.schemas import Credits, ImagePrice, Prices, PriceTable, RefundView, TransactionView
from billing.statements import credits_of, transactions_of
from kit.http import ReadDep
from kit.identity import CallerDep
from kit.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, decode_cursor, encode_cursor, page
from shared.ids import JobId
from shared.prices import current_version, price_books

JobQuery = Annotated[JobId | None, Query(description="Only transactions of this job.")]
KindQuery = Annotated[Literal["grant", "hold", "settle"] | None, Query(description="Only transactions of this kind.")]
VersionQuery = Annotated[
    str | None, Query(max_length=100, description="A version of the price book; default: current.")
]

Responses = dict[int | str, dict[str, Any]]
UNKNOWN_VERSION: Responses = {404: {"description": "The price book has no such version."}}


def make_router(terms: Terms) -> APIRouter:
    """The routes of billing."""
    router = APIRouter(prefix="/v1", tags=["credits"])

    @router.get("/credits", summary="Read the wallet")
    async def read_credits(caller: CallerDep, session: ReadDep) -> Credits:
        """How many credits the caller can spend, and how many are held for running jobs."""
        return await credits_of(session, account_id=caller.account_id, bonus=terms.registration_bonus)

    @router.get("/credits/transactions", summary="List transactions")
    async def list_transactions(
        *,
        caller: CallerDep,
        session: ReadDep,
        job_id: JobQuery = None,
        kind: KindQuery = None,
        limit: LimitQuery = DEFAULT_LIMIT,
        cursor: CursorQuery = None,
    ) -> Page[TransactionView]:
        """Every movement of the caller's credits, newest first, with all ledger lines."""
        before = decode_cursor(cursor, int)[0] if cursor else None
        rows = await transactions_of(
            session, account_id=caller.account_id, before=before, limit=limit + 1, job_id=job_id, kind=kind
        )
        return page(rows, limit, cursor_of=lambda row: encode_cursor(row.wallet_version))

    @router.get("/prices", summary="Read the prices", responses=UNKNOWN_VERSION)
    async def read_prices(version: VersionQuery = None) -> Prices:
        """What a delivered item costs, and what becomes of the credits of one that fails. Needs no credentials."""
        return prices_of(version or current_version(datetime.now(UTC)))

    return router


def prices_of(version: str) -> Prices:
    """One version of the price book with the refund rules. Raises Problem 404."""
    books = price_books()
    book = books.get(version)
    if book is None:
        raise unknown_price_version(version, list(books))
    image = [
        ImagePrice(size=size, quality=quality, price=price)
        for size, qualities in book.image.items()
        for quality, price in qualities.items()
    ]
    refunds = [
        RefundView(failure=failure, credits=rule.credits, borne_by=rule.borne_by, explanation=rule.explanation)
        for failure, rule in REFUNDS.items()
    ]
    return Prices(
        version=book.version,
        valid_from=book.valid_from,
        versions=list(books),
        prices=PriceTable(image=image),
        refunds=refunds,
    )
