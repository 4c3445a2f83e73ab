"""Credits that leave a wallet without a job: refunded and disputed purchases, and corrections by an operator.

What is taken comes from the grant itself first, then from what else can be spent, in burn order. What is not there is
owed: the balance goes below zero, new holds are refused, and whatever enters the wallet next repays the debt first.
"""

from collections.abc import Mapping

import structlog
from sqlalchemy import select, update

from billing.errors import UnknownGrantError
from billing.grants import give, inputs_of, require_account, was_booked
from billing.ledger import AVAILABLE, EXPIRED, Book, Funding
from billing.models import grants
from kit import outbox
from kit.database import WriteSession
from shared.events import CreditsClawedBack
from shared.events.credits import LedgerLine

log = structlog.get_logger()


async def claw_back(
    session: WriteSession, *, account_id: str, key: str, grant_key: str, amount: int, reason: str
) -> bool:
    """Take credits of a grant back, once per ``key`` (``refund:<id>``, ``dispute:<id>``); False when that was done.

    ``grant_key`` is the business key of the grant, such as ``checkout:<session>``. No more than the grant ever gave is
    taken, whatever refunds and disputes add up to. Raises UnknownGrantError when the purchase was not granted (yet),
    GrantConflictError when the key was used for something else.
    """
    book = await Book.open(session, [account_id])
    inputs = {"account_id": account_id, "grant_key": grant_key, "amount": amount, "reason": reason}
    if await was_booked(session, key=f"clawback:{key}", inputs=inputs):
        return False
    query = select(grants).where(grants.c.key == grant_key, grants.c.account_id == account_id)
    grant = (await session.execute(query)).one_or_none()
    if grant is None:
        raise UnknownGrantError(grant_key)
    due = min(amount, grant.amount - grant.clawed_back)
    taken = update(grants).where(grants.c.id == grant.id).values(clawed_back=grants.c.clawed_back + due)
    await session.execute(taken)

    unspent = min(due, grant.remaining)
    lapsed = min(due - unspent, grant.expired)
    owed = due - unspent - lapsed
    lines = [
        LedgerLine(account=AVAILABLE, amount=-unspent, grant_id=grant.id),
        LedgerLine(account=EXPIRED, amount=-lapsed, grant_id=grant.id),
        *_withdrawal(book, account_id, owed, spare=grant.id),
        LedgerLine(account=f"funding.{grant.source}", amount=due, grant_id=grant.id),
    ]
    _post(session, book, account_id, kind="clawback", key=key, reason=reason, amount=due, lines=lines, inputs=inputs)
    await book.write(session)
    if due < amount:
        log.warning("clawback.capped", account_id=account_id, key=key, asked=amount, taken=due)
    return True


async def adjust(session: WriteSession, *, account_id: str, key: str, amount: int, reason: str) -> bool:
    """Correct a balance by an operator's hand, up or down, once per ``key``; False when that was done.

    Raises UnknownAccountError, and GrantConflictError when the key was used for another adjustment.
    """
    await require_account(session, account_id)
    book = await Book.open(session, [account_id])
    inputs = inputs_of(account_id, source="adjustment", reason=reason, amount=amount)
    if await was_booked(session, key=f"adjust:{key}", inputs=inputs):
        return False
    if amount > 0:
        give(session, book, account_id, key=key, source="adjustment", reason=reason, amount=amount, kind="adjust")
    else:
        lines = [
            *_withdrawal(book, account_id, -amount),
            LedgerLine(account="funding.adjustment", amount=-amount),
        ]
        _post(
            session, book, account_id, kind="adjust", key=key, reason=reason, amount=-amount, lines=lines, inputs=inputs
        )
    await book.write(session)
    return True


def _withdrawal(book: Book, account_id: str, amount: int, *, spare: str | None = None) -> list[LedgerLine]:
    """The lines that take ``amount`` out of a wallet: from its grants but ``spare``, then as debt."""
    parts: Funding = book.fund(account_id, amount, spare=spare)
    debt = amount - sum(part for _, part in parts)
    lines = [LedgerLine(account=AVAILABLE, amount=-part, grant_id=grant_id) for grant_id, part in parts]
    return [*lines, LedgerLine(account=AVAILABLE, amount=-debt)]


def _post(
    session: WriteSession,
    book: Book,
    account_id: str,
    *,
    kind: str,
    key: str,
    reason: str,
    amount: int,
    lines: list[LedgerLine],
    inputs: Mapping[str, object],
) -> None:
    lines = [line for line in lines if line.amount]
    wallet = book.post(kind, key=f"{kind}:{key}", account_id=account_id, lines=lines, inputs=inputs)
    clawed_back = CreditsClawedBack(
        account_id=account_id,
        reason=reason,
        amount=amount,
        debt=wallet.debt,
        available=wallet.available,
        held=wallet.held,
        wallet_version=wallet.version,
    )
    outbox.add(session, clawed_back)
