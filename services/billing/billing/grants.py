"""Grants: credits that enter a wallet, each once by its business key.

Every account starts with the registration bonus. Its key is the account, and whichever event speaks of the account
first brings it, so the order in which registration and jobs arrive makes no difference. A grant may expire; a wallet
that owes something is repaid before the grant has anything to spend.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from billing.errors import GrantConflictError, UnknownAccountError
from billing.ledger import Book, input_hash
from billing.models import transactions, wallets
from kit import outbox
from kit.database import WriteSession
from shared.contract import Event
from shared.events import CreditsGranted
from shared.events.credits import LedgerLine

PRIORITY = {"bonus": 10, "adjustment": 20, "plan": 30, "refund": 40, "purchase": 50}
"""What is spent first: gifts before plans, and bought credits last."""


async def open_wallets(session: WriteSession, causes: Mapping[str, Event | None], *, bonus: int) -> Book:
    """Lock the wallets of these accounts; a new one gets the registration bonus, caused by the account's event.

    An account that a job or an outcome names exists, because gateway admits nothing else.
    """
    book = await Book.open(session, causes)
    for account_id in book.opened:
        if bonus:
            give(
                session,
                book,
                account_id,
                key=f"registration:{account_id}",
                source="bonus",
                reason="registration",
                amount=bonus,
                cause=causes[account_id],
            )
    return book


def give(
    session: WriteSession,
    book: Book,
    account_id: str,
    *,
    key: str,
    source: str,
    reason: str,
    amount: int,
    expires_at: datetime | None = None,
    kind: str = "grant",
    cause: Event | None = None,
) -> None:
    """Post a grant and tell of it."""
    grant_id = book.add_grant(
        account_id,
        key=key,
        source=source,
        reason=reason,
        amount=amount,
        priority=PRIORITY[source],
        expires_at=expires_at,
    )
    wallet = book.post(
        kind,
        key=f"{kind}:{key}",
        account_id=account_id,
        lines=(
            LedgerLine(account=f"funding.{source}", amount=-amount, grant_id=grant_id),
            *book.credit(account_id, [(grant_id, amount)]),
        ),
        inputs=inputs_of(account_id, source=source, reason=reason, amount=amount, expires_at=expires_at),
    )
    granted = CreditsGranted(
        account_id=account_id,
        grant_id=grant_id,
        source=source,
        reason=reason,
        amount=amount,
        available=wallet.available,
        held=wallet.held,
        wallet_version=wallet.version,
        expires_at=expires_at,
    )
    outbox.add(session, granted, cause=cause)


async def grant_purchase(
    session: WriteSession, *, account_id: str, key: str, amount: int, reason: str, bonus: int
) -> bool:
    """Credits of a pack that was paid, once per ``key`` (``checkout:<session>``); they do not expire.

    ``bonus`` is what a wallet starts with, should this be the first that billing hears of the account. False when
    the key has granted already. Raises GrantConflictError when it was used for another grant.
    """
    book = await open_wallets(session, {account_id: None}, bonus=bonus)
    return await _grant_once(
        session, book, account_id=account_id, key=key, source="purchase", reason=reason, amount=amount
    )


async def grant_plan_period(
    session: WriteSession,
    *,
    account_id: str,
    key: str,
    amount: int,
    plan: str,
    period_end: datetime,
    bonus: int,
    rollover: timedelta = timedelta(0),
) -> bool:
    """Credits of one paid period of a plan, once per ``key`` (``invoice:<id>``).

    They expire at ``period_end`` (later than that of the invoice when it was paid after it), or as much later as the
    plan lets unspent credits roll over. Returns and raises like :func:`grant_purchase`.
    """
    book = await open_wallets(session, {account_id: None}, bonus=bonus)
    return await _grant_once(
        session,
        book,
        account_id=account_id,
        key=key,
        source="plan",
        reason=plan,
        amount=amount,
        expires_at=period_end + rollover,
    )


async def grant_by_hand(
    session: WriteSession,
    *,
    account_id: str,
    key: str,
    amount: int,
    reason: str,
    source: str = "adjustment",
    expires_at: datetime | None = None,
) -> bool:
    """Credits that an operator gives: a bonus, a refund, an adjustment. Returns and raises like the others.

    Raises UnknownAccountError, because an operator can mistype an account.
    """
    await require_account(session, account_id)
    book = await Book.open(session, [account_id])
    return await _grant_once(
        session,
        book,
        account_id=account_id,
        key=key,
        source=source,
        reason=reason,
        amount=amount,
        expires_at=expires_at,
    )


async def require_account(session: WriteSession, account_id: str) -> None:
    """Raise UnknownAccountError when no event has told of this account."""
    known = await session.scalar(select(wallets.c.account_id).where(wallets.c.account_id == account_id))
    if known is None:
        raise UnknownAccountError(account_id)


async def was_booked(session: WriteSession, *, key: str, inputs: Mapping[str, Any]) -> bool:
    """Whether a transaction with this key was booked. Raises GrantConflictError when it was made from other inputs.

    The wallet must be locked, so that two who ask at once do not both hear no.
    """
    stored = await session.scalar(select(transactions.c.input_hash).where(transactions.c.key == key))
    if stored is not None and stored != input_hash(inputs):
        raise GrantConflictError(key)
    return stored is not None


def inputs_of(
    account_id: str, *, source: str, reason: str, amount: int, expires_at: datetime | None = None
) -> dict[str, str | int]:
    """What a grant is made from. An absent expiry is left out, so that keys from before expiry keep their hash."""
    inputs: dict[str, str | int] = {"account_id": account_id, "source": source, "reason": reason, "amount": amount}
    return inputs | ({"expires_at": expires_at.isoformat()} if expires_at else {})


async def _grant_once(
    session: WriteSession,
    book: Book,
    *,
    account_id: str,
    key: str,
    source: str,
    reason: str,
    amount: int,
    expires_at: datetime | None = None,
) -> bool:
    inputs = inputs_of(account_id, source=source, reason=reason, amount=amount, expires_at=expires_at)
    fresh = not await was_booked(session, key=f"grant:{key}", inputs=inputs)
    if fresh:
        give(
            session,
            book,
            account_id,
            key=key,
            source=source,
            reason=reason,
            amount=amount,
            expires_at=expires_at,
        )
    await book.write(session)
    return fresh
