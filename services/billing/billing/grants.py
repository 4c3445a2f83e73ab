"""Grants: credits that enter a wallet, each once by its business key.

Every account starts with the registration bonus. Its key is the account, and whichever event speaks of the account
first brings it, so the order in which registration and jobs arrive makes no difference.
"""

from collections.abc import Mapping

from sqlalchemy import select

from billing.errors import GrantConflictError, UnknownAccountError
from billing.ledger import AVAILABLE, Book, input_hash
from billing.models import transactions, wallets
from kit import outbox
from kit.database import WriteSession
from shared.contract import Event
from shared.events import CreditsGranted
from shared.events.credits import LedgerLine

PRIORITY = {"bonus": 10, "adjustment": 20, "plan": 30, "refund": 40, "purchase": 50}
"""What is spent first: gifts before plans, and bought credits last."""


async def open_wallets(session: WriteSession, causes: Mapping[str, Event], *, bonus: int) -> Book:
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
    cause: Event | None = None,
) -> str:
    """Post a grant and tell of it. Returns its id."""
    grant_id = book.add_grant(
        account_id, key=key, source=source, reason=reason, amount=amount, priority=PRIORITY[source]
    )
    wallet = book.post(
        "grant",
        key=f"grant:{key}",
        account_id=account_id,
        lines=(
            LedgerLine(account=f"funding.{source}", amount=-amount, grant_id=grant_id),
            LedgerLine(account=AVAILABLE, amount=amount, grant_id=grant_id),
        ),
        inputs=_inputs(account_id, source=source, reason=reason, amount=amount),
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
    )
    outbox.add(session, granted, cause=cause)
    return grant_id


async def adjust(session: WriteSession, *, account_id: str, amount: int, reason: str, key: str) -> bool:
    """Grant credits by an operator's hand; False when this key has done so already.

    Raises UnknownAccountError, and GrantConflictError when the key was used for another grant.
    """
    known = await session.scalar(select(wallets.c.account_id).where(wallets.c.account_id == account_id))
    if known is None:
        raise UnknownAccountError(account_id)
    book = await Book.open(session, [account_id])
    inputs = _inputs(account_id, source="adjustment", reason=reason, amount=amount)
    stored = await session.scalar(select(transactions.c.input_hash).where(transactions.c.key == f"grant:{key}"))
    if stored is not None:
        if stored != input_hash(inputs):
            raise GrantConflictError(key)
        return False
    give(session, book, account_id, key=key, source="adjustment", reason=reason, amount=amount)
    await book.write(session)
    return True


def _inputs(account_id: str, *, source: str, reason: str, amount: int) -> dict[str, str | int]:
    return {"account_id": account_id, "source": source, "reason": reason, "amount": amount}
