"""HTTP in: quotes."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from billing.quotes import make_quote, read_quote
from billing.schemas import Quote, QuoteRequest
from billing.statements import credits_of
from billing.terms import Terms
from kit import idempotency
from kit.http import ReadDep, WriteDep
from kit.idempotency import KeyHeader
from kit.identity import CallerDep
from kit.problems import Responses
from shared.ids import QuoteId

QuotePath = Annotated[QuoteId, Path(description="Id of the quote.", examples=["qte_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"])]
NOT_FOUND: Responses = {404: {"description": "The caller has no such quote."}}
CONFLICT: Responses = {409: {"description": "The Idempotency-Key was used with another body."}}


def make_quote_router(terms: Terms) -> APIRouter:
    """The routes of quotes."""
    router = APIRouter(prefix="/v1/quotes", tags=["quotes"])

    @router.post("", summary="Ask for a price", status_code=201, responses=CONFLICT)
    async def create_quote(
        *,
        caller: CallerDep,
        session: WriteDep,
        response: Response,
        wanted: QuoteRequest,
        idempotency_key: KeyHeader = None,
    ) -> Quote:
        """The exact price of one or more jobs, and until when they get it by citing the quote. Holds nothing."""
        use = idempotency.use_of(idempotency_key, account_id=caller.account_id, operation="quote", body=wanted)
        if use is not None and (earlier := await idempotency.claim(session, use)) is not None:
            response.headers["Idempotent-Replay"] = "true"
            return Quote.model_validate(earlier)
        wallet = await credits_of(session, account_id=caller.account_id, bonus=terms.registration_bonus)
        quote = await make_quote(
            session,
            account_id=caller.account_id,
            jobs=wanted.jobs,
            validity=terms.quote_validity,
            available=wallet.available,
        )
        if use is not None:
            await idempotency.store(session, use, quote.model_dump(mode="json"))
        response.headers["Location"] = f"/v1/quotes/{quote.id}"
        return quote

    @router.get("/{quote_id}", summary="Read a quote", responses=NOT_FOUND)
    async def get_quote(*, caller: CallerDep, session: ReadDep, quote_id: QuotePath) -> Quote:
        """What was quoted, whether it is still good, and what the balance of now would be after it."""
        wallet = await credits_of(session, account_id=caller.account_id, bonus=terms.registration_bonus)
        return await read_quote(session, account_id=caller.account_id, quote_id=quote_id, available=wallet.available)

    return router
