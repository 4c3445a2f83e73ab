"""Holds: credits are set aside when a job is requested and settled once when it ends.

The request and the outcome of a job may come in any order: the request decides between held and refused, and whoever
finds both in the job's row settles.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog
from pydantic import ValidationError

from billing.grants import open_wallets
from billing.hold_rows import Hold, load, store
from billing.ledger import AVAILABLE, HELD, Book
from billing.quotes import check_quote, cited_quotes
from billing.settlements import note_outcome, settle
from billing.spend_guard import SpendGuard
from billing.terms import Terms
from kit import outbox
from kit.database import WriteSession
from shared.contract import Event
from shared.events import CreditsHeld, CreditsRefused, JobRequested
from shared.events.credits import LedgerLine
from shared.events.generation import Terminal
from shared.jobs import parse_input
from shared.prices import UnknownPriceError, price_job

log = structlog.get_logger()


async def request_holds(session: WriteSession, events: Sequence[JobRequested], *, terms: Terms) -> None:
    """Hold the price of each job, or refuse it; a job that has ended already is settled at once."""
    book = await open_wallets(session, _by_account(events), bonus=terms.registration_bonus)
    holds = await load(session, book, events)
    cited = await cited_quotes(session, events)
    guard = await SpendGuard.open(session, book, events)
    changed: dict[str, Hold] = {}
    for event in events:
        hold = holds[event.job_id]
        if hold.state != "awaited":
            continue
        refusal = _check_price(event, cited) or _check_funds(event, book) or guard.admit(event)
        if refusal is None:
            _hold(session, book, hold, event, grace=terms.hold_grace)
        else:
            _refuse(session, book, hold, event, refusal)
        guard.tell(session, event, available=book.wallet(event.account_id).available)
        if hold.wants_settlement:
            settle(session, book, hold, cause=event)
        changed[hold.job_id] = hold
    await store(session, changed.values())
    await book.write(session)
    await guard.write(session)


async def record_outcomes(session: WriteSession, events: Sequence[Terminal], *, terms: Terms) -> None:
    """Note how each job ended and settle those that hold credits. The first outcome of a job counts."""
    book = await open_wallets(session, _by_account(events), bonus=terms.registration_bonus)
    holds = await load(session, book, events)
    changed: dict[str, Hold] = {}
    for event in events:
        hold = holds[event.job_id]
        if hold.outcome is not None:
            log.warning("outcome.repeated", job_id=event.job_id, event_id=event.envelope.id)
            continue
        note_outcome(hold, event)
        if hold.wants_settlement:
            settle(session, book, hold, cause=event)
        changed[hold.job_id] = hold
    await store(session, changed.values())
    await book.write(session)


def _check_price(event: JobRequested, cited: Mapping[str, Any]) -> tuple[str, str] | None:
    """Price the job again, by its quote if it cites one; code and detail of what is wrong, if anything."""
    try:
        job_input = parse_input(event.kind, event.input)
        price = price_job(job_input, event.price_version)
    except ValidationError:  # its text would repeat the customer's input
        return "unknown_price", f"The input is not a valid {event.kind} job, so it has no price."
    except UnknownPriceError as error:
        return "unknown_price", f"The job cannot be priced: {error}."
    except LookupError:
        return "unknown_price", f"There is no price for jobs of kind {event.kind!r}."
    if (price.items, price.total) != (event.item_prices, event.price):
        return "price_mismatch", f"The price is {price.total} milli-credits, not {event.price}; request the job again."
    return check_quote(event, job_input, cited)


def _check_funds(event: JobRequested, book: Book) -> tuple[str, str] | None:
    if debt := book.wallet(event.account_id).debt:
        return "balance_negative", f"A refund or dispute left the balance {debt} milli-credits below zero. Add credits."
    spendable = book.spendable(event.account_id)
    if event.price <= spendable:
        return None
    detail = f"The job needs {event.price} milli-credits and {spendable} are available. Add credits and try again."
    return "insufficient_credits", detail


def _refuse(session: WriteSession, book: Book, hold: Hold, event: JobRequested, refusal: tuple[str, str]) -> None:
    hold.note_request(event)
    hold.state, (hold.refusal, detail) = "refused", refusal
    refused = CreditsRefused(
        account_id=event.account_id,
        job_id=event.job_id,
        code=hold.refusal,
        detail=detail,
        needed=event.price,
        available=book.spendable(event.account_id) - book.wallet(event.account_id).debt,
    )
    outbox.add(session, refused, cause=event)


def _hold(session: WriteSession, book: Book, hold: Hold, event: JobRequested, *, grace: timedelta) -> None:
    hold.note_request(event)
    hold.state, hold.held, hold.due_at = "open", event.price, event.deadline + grace
    hold.funding = book.fund(event.account_id, event.price)
    lines = [
        line
        for grant_id, amount in hold.funding
        for line in (
            LedgerLine(account=AVAILABLE, amount=-amount, grant_id=grant_id),
            LedgerLine(account=HELD, amount=amount, grant_id=grant_id),
        )
    ]
    wallet = book.post(
        "hold",
        key=f"hold:{hold.job_id}",
        account_id=hold.account_id,
        job_id=hold.job_id,
        lines=lines,
        inputs={"price": event.price, "price_version": event.price_version},
    )
    held = CreditsHeld(
        account_id=hold.account_id,
        job_id=hold.job_id,
        amount=hold.held,
        available=wallet.available,
        held=wallet.held,
        wallet_version=wallet.version,
    )
    outbox.add(session, held, cause=event)


def _by_account(events: Sequence[JobRequested | Terminal]) -> dict[str, Event]:
    """The first event of each account."""
    return {event.account_id: event for event in reversed(events)}
