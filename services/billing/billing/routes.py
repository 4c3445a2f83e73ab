"""HTTP in: the caller's wallet and transactions, and the public price table."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from billing.monthly import Month, Statements
from billing.payments.offers import Offers
from billing.payments.subscriptions import subscription_of
from billing.price_table import prices_of
from billing.schemas import Credits, HoldView, Prices, Statement, TransactionView
from billing.statements import credits_as_of, credits_of, holds_of, transactions_of
from billing.terms import Terms
from kit.http import ReadDep
from kit.identity import CallerDep
from kit.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, decode_cursor, page
from kit.problems import Responses
from shared.ids import JobId
from shared.prices import current_version

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def _written_out(value: str) -> str:
    """A moment is RFC 3339; the number of seconds that would be understood too is not what the document says."""
    if not _DATE.match(value):
        raise ValueError("write the moment as in RFC 3339, such as 2026-11-21T12:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    """What is kept is UTC, and a zone may lead beyond the first or the last year that there is."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("the moment lies outside of the years 1 to 9999 in UTC") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_utc)]

JobQuery = Annotated[JobId | None, Query(description="Only transactions of this job.")]
KindQuery = Annotated[
    Literal["grant", "hold", "settle", "expire", "clawback", "adjust"] | None,
    Query(description="Only transactions of this kind."),
]
SinceQuery = Annotated[Moment | None, Query(description="Only what was booked at this moment or later.")]
UntilQuery = Annotated[Moment | None, Query(description="Only what was booked before this moment.")]
AsOfQuery = Annotated[Moment | None, Query(description="The wallet as it was at this moment; default: now.")]
StateQuery = Annotated[Literal["open", "settled", "refused"] | None, Query(description="Only holds in this state.")]
MonthPath = Annotated[
    str, Path(pattern=r"^(19|2\d)\d\d-(0[1-9]|1[0-2])$", description="Calendar month (UTC).", examples=["2026-11"])
]
FormatQuery = Annotated[Literal["json", "csv"], Query(alias="format", description="JSON, or the movements as CSV.")]
VersionQuery = Annotated[
    str | None, Query(max_length=100, description="A version of the price book; default: current.")
]

STATEMENT: Responses = {200: {"description": "The statement.", "content": {"text/csv": {"schema": {"type": "string"}}}}}
UNKNOWN_VERSION: Responses = {404: {"description": "The price book has no such version."}}


def make_router(terms: Terms, offers: Offers, statements: Statements) -> APIRouter:
    """The routes of billing."""
    router = APIRouter(prefix="/v1", tags=["credits"])

    @router.get("/credits", summary="Read the wallet")
    async def read_credits(caller: CallerDep, session: ReadDep, as_of: AsOfQuery = None) -> Credits:
        """What the caller can spend, what is held for running jobs, what expires next, and which plan is paid."""
        if as_of is not None:
            return await credits_as_of(session, account_id=caller.account_id, moment=as_of)
        wallet = await credits_of(session, account_id=caller.account_id, bonus=terms.registration_bonus)
        subscription = await subscription_of(session, account_id=caller.account_id, offers=offers)
        standing = subscription.model_dump(include={"plan", "is_subscriber", "subscription_expires_at"})
        return wallet.model_copy(update=standing)

    @router.get("/credits/transactions", summary="List transactions")
    async def list_transactions(
        *,
        caller: CallerDep,
        session: ReadDep,
        job_id: JobQuery = None,
        kind: KindQuery = None,
        since: SinceQuery = None,
        until: UntilQuery = None,
        limit: LimitQuery = DEFAULT_LIMIT,
        cursor: CursorQuery = None,
    ) -> Page[TransactionView]:
        """Every movement of the caller's credits, newest first, with all ledger lines."""
        before = decode_cursor(cursor, int)
        rows = await transactions_of(
            session,
            account_id=caller.account_id,
            before=before,
            limit=limit + 1,
            job_id=job_id,
            kind=kind,
            since=since,
            until=until,
        )
        return page(rows, limit, position=lambda row: row.wallet_version)

    @router.get("/credits/holds", summary="List holds")
    async def list_holds(
        *,
        caller: CallerDep,
        session: ReadDep,
        state: StateQuery = None,
        limit: LimitQuery = DEFAULT_LIMIT,
        cursor: CursorQuery = None,
    ) -> Page[HoldView]:
        """What each of the caller's jobs holds or has cost, newest first, with the receipt of every item."""
        before = decode_cursor(cursor, str)
        rows = await holds_of(session, account_id=caller.account_id, before=before, limit=limit + 1, state=state)
        return page(rows, limit, position=lambda row: row.job_id)

    @router.get(
        "/credits/statements/{month}",
        summary="Read a month's statement",
        response_model=Statement,
        responses=STATEMENT,
    )
    async def read_statement(
        caller: CallerDep, month: MonthPath, format_: FormatQuery = "json"
    ) -> Statement | StreamingResponse:
        """Opening balance, every movement, totals per ledger account and closing balance of one month.

        JSON has 10,000 movements at most (422 `statement_too_long`); CSV any number, and one that broke off has no
        closing line. What is booked while it is sent is in the next one that is asked for.
        """
        if format_ == "json":
            return await statements.whole(account_id=caller.account_id, month=Month.parse(month))
        parts = await statements.as_csv(account_id=caller.account_id, month=Month.parse(month))
        name = f'attachment; filename="atelier-{month}.csv"'
        return StreamingResponse(parts, media_type="text/csv", headers={"Content-Disposition": name})

    @router.get("/prices", summary="Read the prices", responses=UNKNOWN_VERSION)
    async def read_prices(version: VersionQuery = None) -> Prices:
        """What a delivered item costs, and what becomes of the credits of one that fails. Needs no credentials."""
        return prices_of(version or current_version(datetime.now(UTC)))

    return router
