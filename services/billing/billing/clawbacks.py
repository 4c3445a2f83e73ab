"""Credits that leave a wallet without a job: refunded and disputed purchases, and corrections by an operator.

What is taken comes from the grant itself first, then from what else can be spent, in burn order. What is not there is
owed: the balance goes below zero, new holds are refused, and whatever enters the wallet next repays the debt first.

Refunds and disputes of one purchase overlap, and each may still be called off. So what each asks for is kept, and what
is taken of a grant is their sum, or all of the grant: whichever of them ends how, and in whatever order that is heard.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import Row, func, insert, select, update

from billing.errors import GrantConflictError, UnknownGrantError
from billing.grants import give, inputs_of, require_account, was_booked
from billing.ledger import AVAILABLE, EXPIRED, Book, Funding
from billing.models import grants, reversals
from kit import outbox
from kit.database import WriteSession
from shared.events import CreditsClawedBack
from shared.events.credits import LedgerLine

log = structlog.get_logger()


async def claw_back(
    session: WriteSession, *, account_id: str, key: str, grant_key: str, amount: int, reason: str
) -> bool:
    """Take credits of a grant back for a reversal (``refund:<id>``, ``dispute:<id>``); False when that was done.

    ``grant_key`` is the business key of the grant, such as ``checkout:<session>``. No more than the grant ever gave is
    taken, whatever refunds and disputes add up to; an ``amount`` that differs from the one before takes or gives the
    difference. Raises UnknownGrantError when the purchase was not granted (yet), GrantConflictError when the key is
    that of a reversal of another grant.
    """
    return await _follow(session, account_id=account_id, key=key, grant_key=grant_key, asked=amount, reason=reason)


async def restore(session: WriteSession, *, account_id: str, key: str, grant_key: str) -> bool:
    """Give back what this reversal alone took, because its money is ours again; False when it has taken nothing.

    What the other refunds and disputes of the grant ask for stays taken. The credits come as a grant of their own that
    does not expire, whatever became of the first one meanwhile. Raises like :func:`claw_back`.
    """
    return await _follow(
        session, account_id=account_id, key=key, grant_key=grant_key, asked=0, reason=f"restored:{key}"
    )


async def _follow(session: WriteSession, *, account_id: str, key: str, grant_key: str, asked: int, reason: str) -> bool:
    """Note what a reversal asks for now, and book the difference that it makes to all of the grant's together."""
    book = await Book.open(session, [account_id])
    query = select(grants).where(grants.c.key == grant_key, grants.c.account_id == account_id)
    grant = (await session.execute(query)).one_or_none()
    if grant is None:
        raise UnknownGrantError(grant_key)
    turn = await _note(session, key=key, grant_id=grant.id, asked=asked)
    if turn is None:
        return False
    together = select(func.sum(reversals.c.asked)).where(reversals.c.grant_id == grant.id)
    total = int(await session.scalar(together) or 0)
    wanted = min(grant.amount, total)
    await session.execute(update(grants).where(grants.c.id == grant.id).values(clawed_back=wanted))
    due = wanted - grant.clawed_back
    booking = key if turn == 1 else f"{key}:{turn}"
    if due > 0:
        inputs = {"account_id": account_id, "grant_key": grant_key, "amount": due, "reason": reason}
        lines = _taken(book, account_id, grant, due)
        _post(
            session,
            book,
            account_id,
            kind="clawback",
            key=booking,
            reason=reason,
            amount=due,
            lines=lines,
            inputs=inputs,
        )
    elif due < 0:
        give(session, book, account_id, key=f"restored:{booking}", source="refund", reason=reason, amount=-due)
    await book.write(session)
    if asked and total > grant.amount:
        log.warning("clawback.capped", account_id=account_id, key=key, asked=asked, taken=due)
    return True


async def _note(session: WriteSession, *, key: str, grant_id: str, asked: int) -> int | None:
    """How often what this reversal asks for has changed, this time included; None when it is as it was."""
    known = (await session.execute(select(reversals).where(reversals.c.key == key))).one_or_none()
    if known is not None and known.grant_id != grant_id:
        raise GrantConflictError(key)
    if asked == (known.asked if known else 0):
        return None
    if known is None:
        await session.execute(insert(reversals).values(key=key, grant_id=grant_id, asked=asked))
        return 1
    again = update(reversals).where(reversals.c.key == key).values(asked=asked, turns=known.turns + 1)
    await session.execute(again)
    return int(known.turns) + 1


def _taken(book: Book, account_id: str, grant: Row[Any], due: int) -> list[LedgerLine]:
    unspent = min(due, grant.remaining)
    lapsed = min(due - unspent, grant.expired)
    return [
        LedgerLine(account=AVAILABLE, amount=-unspent, grant_id=grant.id),
        LedgerLine(account=EXPIRED, amount=-lapsed, grant_id=grant.id),
        *_withdrawal(book, account_id, due - unspent - lapsed, spare=grant.id),
        LedgerLine(account=f"funding.{grant.source}", amount=due, grant_id=grant.id),
    ]


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
