"""Quotes that jobs cite: billing is asked before a job is accepted, so a quote that does not fit is refused at once.

When billing does not answer in time the job is accepted by the prices in force, and the hold still decides: nobody is
ever held for more than was quoted, because billing refuses a price that is not the quote's.
"""

from datetime import UTC, datetime, timedelta

import httpx2
import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from gateway.errors import quote_expired, quote_mismatch, unknown_quote
from gateway.owners import Owner, OwnerClient
from kit.identity import Caller
from shared.jobs import JobInput
from shared.prices import Price, fingerprint

log = structlog.get_logger()


class _Quoted(BaseModel):
    """What is read of one job of billing's answer."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    item_prices: tuple[int, ...]


class _Quote(BaseModel):
    """What is read of billing's answer."""

    model_config = ConfigDict(frozen=True)

    price_version: str
    valid_until: AwareDatetime
    expired: bool
    jobs: tuple[_Quoted, ...]


class Quotes:
    """Looks quotes up at billing."""

    def __init__(self, client: OwnerClient, billing: Owner, *, timeout: timedelta) -> None:
        self._client = client
        self._billing = billing
        self._seconds = timeout.total_seconds()

    async def price_of(self, caller: Caller, quote_id: str, *, kind: str, job_input: JobInput) -> Price | None:
        """The price that was quoted for this input; None when billing is silent. Raises Problem 422."""
        quote = await self._ask(caller, quote_id)
        if quote is None:
            return None
        if quote.expired or datetime.now(UTC) > quote.valid_until:
            raise quote_expired(quote_id, quote.valid_until)
        wanted = fingerprint(kind, job_input)
        for job in quote.jobs:
            if job.fingerprint == wanted:
                return Price(version=quote.price_version, items=job.item_prices)
        raise quote_mismatch(quote_id)

    async def _ask(self, caller: Caller, quote_id: str) -> _Quote | None:
        try:
            answer = await self._client.get_json(
                self._billing, f"/v1/quotes/{quote_id}", caller=caller, seconds=self._seconds
            )
            return _Quote.model_validate(answer)
        except httpx2.HTTPStatusError as error:
            if error.response.status_code == httpx2.codes.NOT_FOUND:
                raise unknown_quote(quote_id) from error
            reason: Exception = error
        except (httpx2.HTTPError, ValidationError, ValueError) as error:
            reason = error
        log.warning("quote.unconfirmed", account_id=caller.account_id, quote_id=quote_id, reason=repr(reason))
        return None
