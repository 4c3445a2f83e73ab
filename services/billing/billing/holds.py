"""Holds: credits are set aside when a job is requested and settled once when it ends.

A job has one row, and its request and its outcome may come in any order: the request decides between held and
refused, and whoever finds both in the row settles. Every event of a job names its account, and its wallet is locked
before the row is read, so a row never has two readers at a time; only the overdue timer's lease is taken without it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from billing.errors import AccountMismatchError
from billing.grants import open_wallets
from billing.ledger import AVAILABLE, EARNED, HELD, LOSS, Book, Funding
from billing.models import holds as table
from kit import outbox
from kit.database import WriteSession
from kit.leases import finished
from kit.sql import among
from shared.contract import Event
from shared.events import CreditsHeld, CreditsRefused, CreditsSettled, JobRequested
from shared.events.credits import LedgerLine
from shared.events.generation import Terminal
from shared.jobs import parse_input
from shared.prices import UnknownPriceError, price_job

log = structlog.get_logger()


@dataclass(slots=True)
class Hold:
    """The row of one job. ``state``: awaited (only the outcome is known), open, refused or settled."""

    job_id: str
    account_id: str
    state: str = "awaited"
    requested_by: str | None = None
    price: int | None = None
    price_version: str | None = None
    deadline: datetime | None = None
    held: int = 0
    funding: Funding = field(default_factory=list)
    refusal: str | None = None
    outcome: str | None = None
    owed: int = 0
    written_off: int = 0
    captured: int | None = None
    released: int | None = None
    loss: int | None = None
    due_at: datetime | None = None
    traceparent: str | None = None

    @property
    def wants_settlement(self) -> bool:
        """Both halves are known, and there is something to settle: a refused job owes nothing but by mishap."""
        if self.outcome is None or self.state in {"awaited", "settled"}:
            return False
        return self.state == "open" or bool(self.owed or self.written_off)


_STORED = [table.c[column.name] for column in fields(Hold)]


@dataclass(frozen=True, slots=True)
class Terms:
    """What billing is configured to do."""

    registration_bonus: int
    hold_grace: timedelta


async def request_holds(session: WriteSession, events: Sequence[JobRequested], *, terms: Terms) -> None:
    """Hold the price of each job, or refuse it; a job that has ended already is settled at once."""
    book = await open_wallets(session, _by_account(events), bonus=terms.registration_bonus)
    holds = await _load(session, events)
    changed: dict[str, Hold] = {}
    for event in events:
        hold = holds[event.job_id]
        if hold.state != "awaited":
            continue
        _answer(session, book, hold, event, grace=terms.hold_grace)
        if hold.wants_settlement:
            _settle(session, book, hold, cause=event)
        changed[hold.job_id] = hold
    await _store(session, changed.values())
    await book.write(session)


async def record_outcomes(session: WriteSession, events: Sequence[Terminal], *, terms: Terms) -> None:
    """Note how each job ended and settle those that hold credits. The first outcome of a job counts."""
    book = await open_wallets(session, _by_account(events), bonus=terms.registration_bonus)
    holds = await _load(session, events)
    changed: dict[str, Hold] = {}
    for event in events:
        hold = holds[event.job_id]
        if hold.outcome is not None:
            log.warning("outcome.repeated", job_id=event.job_id, event_id=event.envelope.id)
            continue
        hold.outcome = type(event).__name__.removeprefix("Job").lower()
        hold.owed = sum(item.price for item in event.items if item.outcome == "delivered")
        hold.written_off = sum(item.loss for item in event.items)
        if hold.wants_settlement:
            _settle(session, book, hold, cause=event)
        changed[hold.job_id] = hold
    await _store(session, changed.values())
    await book.write(session)


def _answer(session: WriteSession, book: Book, hold: Hold, event: JobRequested, *, grace: timedelta) -> None:
    hold.requested_by = event.envelope.id
    hold.traceparent = event.envelope.traceparent
    hold.price, hold.price_version, hold.deadline = event.price, event.price_version, event.deadline
    spendable = book.spendable(event.account_id)
    refusal = _check_price(event) or _check_funds(event, spendable)
    if refusal is None:
        _hold(session, book, hold, event)
        hold.due_at = event.deadline + grace
        return
    hold.state, (hold.refusal, detail) = "refused", refusal
    refused = CreditsRefused(
        account_id=event.account_id,
        job_id=event.job_id,
        code=hold.refusal,
        detail=detail,
        needed=event.price,
        available=spendable,
    )
    outbox.add(session, refused, cause=event)


def _check_price(event: JobRequested) -> tuple[str, str] | None:
    """Price the job again; code and detail of what is wrong, if anything."""
    try:
        price = price_job(parse_input(event.kind, event.input), event.price_version)
    except ValidationError:  # its text would repeat the customer's input
        return "unknown_price", f"The input is not a valid {event.kind} job, so it has no price."
    except UnknownPriceError as error:
        return "unknown_price", f"The job cannot be priced: {error}."
    except LookupError:
        return "unknown_price", f"There is no price for jobs of kind {event.kind!r}."
    if (price.items, price.total) != (event.item_prices, event.price):
        return "price_mismatch", f"The price is {price.total} milli-credits, not {event.price}; request the job again."
    return None


def _check_funds(event: JobRequested, spendable: int) -> tuple[str, str] | None:
    if event.price <= spendable:
        return None
    detail = f"The job needs {event.price} milli-credits and {spendable} are available. Add credits and try again."
    return "insufficient_credits", detail


def _hold(session: WriteSession, book: Book, hold: Hold, event: JobRequested) -> None:
    hold.state, hold.held = "open", event.price
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


def _settle(session: WriteSession, book: Book, hold: Hold, *, cause: Event) -> None:
    """Capture what was delivered, release the rest; what goes beyond the hold is the platform's loss."""
    captured = min(hold.owed, hold.held)
    loss = hold.owed - captured + hold.written_off
    lines = _settlement_lines(hold.funding, captured=captured, loss=loss)
    hold.state, hold.captured, hold.released, hold.loss = "settled", captured, hold.held - captured, loss
    hold.due_at = None
    wallet = book.post(
        "settle",
        key=f"settle:{hold.job_id}",
        account_id=hold.account_id,
        job_id=hold.job_id,
        lines=lines,
        inputs={"outcome": hold.outcome, "owed": hold.owed, "written_off": hold.written_off},
    )
    settled = CreditsSettled(
        account_id=hold.account_id,
        job_id=hold.job_id,
        held=hold.held,
        captured=captured,
        released=hold.released,
        loss=loss,
        available=wallet.available,
        wallet_held=wallet.held,
        wallet_version=wallet.version,
        entries=tuple(lines),
    )
    outbox.add(session, settled, cause=cause)


def _settlement_lines(funding: Funding, *, captured: int, loss: int) -> list[LedgerLine]:
    """Entries grant by grant in burn order, so that it is known which grant paid and which got its credits back."""
    lines = []
    for grant_id, amount in funding:
        spent = min(captured, amount)
        captured -= spent
        lines += [
            LedgerLine(account=HELD, amount=-amount, grant_id=grant_id),
            LedgerLine(account=EARNED, amount=spent, grant_id=grant_id),
            LedgerLine(account=AVAILABLE, amount=amount - spent, grant_id=grant_id),
        ]
    lines += [LedgerLine(account=LOSS, amount=-loss), LedgerLine(account=EARNED, amount=loss)]
    return [line for line in lines if line.amount]


def _by_account(events: Sequence[JobRequested | Terminal]) -> dict[str, Event]:
    """The first event of each account."""
    return {event.account_id: event for event in reversed(events)}


async def _load(session: WriteSession, events: Sequence[JobRequested | Terminal]) -> dict[str, Hold]:
    """The row of each event's job, new where there is none. Raises AccountMismatchError."""
    jobs = sorted({event.job_id for event in events})
    rows = await session.execute(select(*_STORED).where(among(table.c.job_id, jobs)))
    holds = {row.job_id: Hold(*row) for row in rows}
    for event in events:
        hold = holds.setdefault(event.job_id, Hold(event.job_id, event.account_id))
        if hold.account_id != event.account_id:
            raise AccountMismatchError(f"{event.job_id} belongs to {hold.account_id}, not to {event.account_id}")
    return holds


async def _store(session: WriteSession, holds: Iterable[Hold]) -> None:
    rows: list[dict[str, Any]] = [asdict(hold) for hold in holds]
    if not rows:
        return
    upsert = insert(table)
    changes: dict[str, Any] = {name: upsert.excluded[name] for name in rows[0] if name != "job_id"}
    lease = {name: value for name, value in finished().items() if name != "due_at"}
    await session.execute(
        upsert.on_conflict_do_update(index_elements=[table.c.job_id], set_={**changes, **lease}), rows
    )
