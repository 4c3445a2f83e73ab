"""Quotes: the exact price of jobs before they are asked for, and how long it is good.

A job that cites a quote is held by the quote's version of the price book, even when a newer one is in force by then.
A quote is a promise of a price, not of credits: nothing is set aside for it, and it may be cited more than once.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func, insert, select

from billing.errors import quote_not_found, unknown_kind
from billing.models import quotes
from billing.schemas import Quote, QuotedJob, QuoteJob
from kit.database import ReadSession, WriteSession
from kit.problems import invalid
from kit.sql import among
from shared.events import JobRequested
from shared.ids import new_id
from shared.jobs import JOB_INPUTS, JobInput, parse_input
from shared.prices import current_version, fingerprint, price_job

KEEP = timedelta(days=7)
"""After its end a quote is remembered for so long, so that whoever cites it late is told when it ended."""


async def make_quote(
    session: WriteSession, *, account_id: str, jobs: Sequence[QuoteJob], validity: timedelta, available: int
) -> Quote:
    """Price jobs under the version in force and keep the quote. Raises Problem 422 when one has no price.

    ``available`` is what the account can spend now.
    """
    now = await session.scalar(select(func.now()))
    assert now is not None
    version = current_version(now)
    quoted = [_price(position, job, version) for position, job in enumerate(jobs)]
    row = {
        "id": new_id("qte"),
        "account_id": account_id,
        "price_version": version,
        "price": sum(job.price for job in quoted),
        "jobs": [job.model_dump() for job in quoted],
        "valid_until": now + validity,
    }
    await session.execute(insert(quotes).values(row))
    return _view(row, expired=False, available=available)


async def read_quote(session: ReadSession | WriteSession, *, account_id: str, quote_id: str, available: int) -> Quote:
    """A quote of this account, with the balance of now. Raises Problem 404."""
    query = select(quotes, (quotes.c.valid_until < func.now()).label("expired")).where(
        quotes.c.id == quote_id, quotes.c.account_id == account_id
    )
    row = (await session.execute(query)).mappings().one_or_none()
    if row is None:
        raise quote_not_found(quote_id)
    return _view(row, expired=row["expired"], available=available)


async def cited_quotes(session: WriteSession, events: Sequence[JobRequested]) -> Mapping[str, Any]:
    """The quotes that these jobs cite, by id; no statement when none does."""
    cited = {event.quote_id for event in events if event.quote_id is not None}
    if not cited:
        return {}
    rows = await session.execute(select(quotes).where(among(quotes.c.id, cited)))
    return {row.id: row for row in rows}


def check_quote(event: JobRequested, job_input: JobInput, cited: Mapping[str, Any]) -> tuple[str, str] | None:
    """Code and detail of what is wrong with the quote that a job cites, if anything.

    What counts is when the job was requested: waiting in a queue must not make a quote expire.
    """
    if event.quote_id is None:
        return None
    quote = cited.get(event.quote_id)
    if quote is None or quote.account_id != event.account_id:
        return "unknown_quote", f"There is no quote {event.quote_id}; ask for a new one."
    if event.requested_at > quote.valid_until:
        return "quote_expired", f"The quote was good until {_said(quote.valid_until)}; ask for a new one."
    wanted = fingerprint(event.kind, job_input)
    if wanted not in {job["fingerprint"] for job in quote.jobs}:
        return "quote_mismatch", "The quote is for another input; ask for a new one."
    if event.price_version != quote.price_version:
        return "quote_mismatch", f"The quote is by price version {quote.price_version}, not {event.price_version}."
    return None


def _view(row: Mapping[Any, Any], *, expired: bool, available: int) -> Quote:
    price = row["price"]
    return Quote(
        id=row["id"],
        price_version=row["price_version"],
        price=price,
        hold=price,
        valid_until=row["valid_until"],
        expired=expired,
        available=available,
        available_after=available - price,
        affordable=price <= available,
        jobs=row["jobs"],
    )


def _price(position: int, job: QuoteJob, version: str) -> QuotedJob:
    try:
        job_input = parse_input(job.kind, job.input)
    except ValidationError as error:
        raise invalid(
            [{**fault, "loc": ("jobs", position, "input", *fault["loc"])} for fault in error.errors()]
        ) from None
    except LookupError:
        raise unknown_kind(list(JOB_INPUTS)) from None
    price = price_job(job_input, version)
    return QuotedJob(
        kind=job.kind,
        fingerprint=fingerprint(job.kind, job_input),
        price=price.total,
        item_prices=list(price.items),
    )


def _said(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
