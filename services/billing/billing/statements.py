"""What a customer sees of the ledger: the wallet, now or at a past moment, its transactions, and the holds of jobs."""

from collections import defaultdict
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, BindParameter, ColumnElement, Select, bindparam, func, literal, select

from billing.models import entries, grants, holds, transactions, wallets
from billing.schemas import Credits, EntryView, Expiry, HoldView, TransactionView
from kit.database import ReadSession, WriteSession
from kit.sql import among

_BEYOND = literal(2**63 - 1, BigInteger)


async def credits_of(session: ReadSession | WriteSession, *, account_id: str, bonus: int) -> Credits:
    """The wallet of an account. One that no event has opened yet shows the bonus that it will open with."""
    unspent = (grants.c.account_id == account_id) & (grants.c.remaining > 0)
    expired = select(func.coalesce(func.sum(grants.c.remaining), 0)).where(unspent, grants.c.expires_at <= func.now())
    query = select(
        (wallets.c.available - expired.scalar_subquery()).label("available"),
        wallets.c.held,
        wallets.c.debt,
        wallets.c.version,
    ).where(wallets.c.account_id == account_id)
    wallet = (await session.execute(query)).one_or_none()
    if wallet is None:
        return Credits(available=bonus, held=0, version=0)
    expiring = (
        select(func.sum(grants.c.remaining).label("amount"), grants.c.expires_at)
        .where(unspent, grants.c.expires_at > func.now())
        .group_by(grants.c.expires_at)
        .order_by(grants.c.expires_at)
        .limit(1)
    )
    soonest = (await session.execute(expiring)).one_or_none()
    return Credits(
        available=wallet.available,
        held=wallet.held,
        debt=wallet.debt,
        version=wallet.version,
        next_expiry=Expiry(amount=soonest.amount, expires_at=soonest.expires_at) if soonest else None,
    )


async def credits_as_of(session: ReadSession, *, account_id: str, moment: datetime) -> Credits:
    """The wallet as the ledger had it at a moment; empty before the first transaction."""
    row = (await session.execute(last_booked(account_id, transactions.c.created_at <= moment))).one_or_none()
    if row is None:
        return Credits(available=0, held=0, version=0)
    # while something is owed nothing else is available, so a balance below zero is the debt
    return Credits(available=row.available, held=row.held, debt=max(0, -row.available), version=row.wallet_version)


def last_booked(account_id: str, when: ColumnElement[bool]) -> Select[tuple[int, int, int]]:
    """The wallet as the last transaction ``when`` this was so left it: available, held and version."""
    return (
        select(transactions.c.available, transactions.c.held, transactions.c.wallet_version)
        .where(transactions.c.account_id == account_id, when)
        .order_by(transactions.c.created_at.desc(), transactions.c.wallet_version.desc())
        .limit(1)
    )


async def transactions_of(
    session: ReadSession,
    *,
    account_id: str,
    before: int | None,
    limit: int,
    job_id: str | None = None,
    kind: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[TransactionView]:
    """Transactions of an account with a lower wallet version than ``before``, newest first."""
    query = select(transactions).where(transactions.c.account_id == account_id)
    if before is not None:
        query = query.where(transactions.c.wallet_version < before)
    if job_id is not None:  # by business key: a job has no others, and keys are indexed
        query = query.where(transactions.c.key.in_([f"hold:{job_id}", f"settle:{job_id}"]))
    if kind is not None:
        query = query.where(transactions.c.kind == _literal(kind))
    if since is not None:
        query = query.where(transactions.c.wallet_version >= _first_version(account_id, since))
    if until is not None:
        query = query.where(transactions.c.wallet_version < _first_version(account_id, until))
    rows = (await session.execute(query.order_by(transactions.c.wallet_version.desc()).limit(limit))).all()
    lines = await _entries_of(session, [row.id for row in rows])
    return [_view(row, lines[row.id]) for row in rows]


async def holds_of(
    session: ReadSession, *, account_id: str, before: str | None, limit: int, state: str | None = None
) -> list[HoldView]:
    """Holds of an account with a lower job id than ``before``, newest first; only those that were answered."""
    query = select(holds).where(holds.c.account_id == account_id, holds.c.state != "awaited")
    if before is not None:
        query = query.where(holds.c.job_id < before)
    if state is not None:
        query = query.where(holds.c.state == _literal(state))
    rows = await session.execute(query.order_by(holds.c.job_id.desc()).limit(limit))
    return [HoldView.model_validate(row) for row in rows]


def _first_version(account_id: str, moment: datetime) -> ColumnElement[int]:
    """The wallet version of the first transaction at a moment or later; beyond all when there is none.

    Versions rise with time, because the wallet's lock is held for both. So a span of time is a range of versions, and
    a page of it is read from the index that orders the list.
    """
    first = (
        select(transactions.c.wallet_version)
        .where(transactions.c.account_id == account_id, transactions.c.created_at >= moment)
        .order_by(transactions.c.created_at, transactions.c.wallet_version)
        .limit(1)
    )
    return func.coalesce(first.scalar_subquery(), _BEYOND)


def _literal(value: str) -> BindParameter[str]:
    """A value that stands in the statement: PostgreSQL uses an index of some rows only when it can see it there."""
    return bindparam(None, value, literal_execute=True)


async def _entries_of(session: ReadSession, transaction_ids: list[str]) -> dict[str, list[EntryView]]:
    query = (
        select(entries)
        .where(among(entries.c.transaction_id, transaction_ids))
        .order_by(entries.c.transaction_id, entries.c.line)
    )
    lines: dict[str, list[EntryView]] = defaultdict(list)
    for row in await session.execute(query):
        lines[row.transaction_id].append(EntryView.model_validate(row))
    return lines


def _view(row: Any, lines: list[EntryView]) -> TransactionView:
    return TransactionView(
        id=row.id,
        kind=row.kind,
        job_id=row.job_id,
        created_at=row.created_at,
        entries=lines,
        available_after=row.available,
        held_after=row.held,
        wallet_version=row.wallet_version,
    )
