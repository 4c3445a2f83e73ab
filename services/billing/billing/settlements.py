"""The one settlement of a job: delivered items are captured, the rest is released, and the receipt says why.

What goes beyond the hold is the platform's loss. Credits whose grant expired while they were held stay good for their
job and are captured first. What is left of them repays what the account owes, so that a refund that is heard of before
they lapse ends like one that is heard of after; the rest is booked to ``platform.expired`` in the same transaction.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from billing.hold_rows import Hold
from billing.ledger import AVAILABLE, EARNED, EXPIRED, HELD, LOSS, Book, Funding
from billing.refunds import rule_of
from kit import outbox
from kit.database import WriteSession
from shared.contract import Event
from shared.events import CreditsSettled
from shared.events.credits import LedgerLine, SettledItem
from shared.events.generation import Terminal


def note_outcome(hold: Hold, event: Terminal) -> None:
    """Keep how a job ended: what is owed, what is written off, and the refund rule of each item."""
    hold.outcome = event.status
    hold.failure = getattr(event, "failure", None)
    started = {attempt.item for attempt in event.attempts}
    hold.items = [
        {
            "item": item.item,
            "outcome": item.outcome,
            "failure": item.failure,
            "rule": rule_of(item, started=item.item in started),
            "price": item.price if item.outcome == "delivered" else 0,
            "loss": item.loss,
            "asset_id": item.asset_id,
        }
        for item in event.items
    ]
    hold.owed = sum(item["price"] for item in hold.items)
    hold.written_off = sum(item["loss"] for item in hold.items)


def settle(session: WriteSession, book: Book, hold: Hold, *, cause: Event) -> None:
    """Settle a job whose two halves are known, and tell of it."""
    captured = min(hold.owed, hold.held)
    loss = hold.owed - captured + hold.written_off
    spent, returned, lapsed = _split(book, hold.funding, captured=captured)
    hold.items = _receipt(hold.items, spent)
    repaid, lapsed = _repay(book.wallet(hold.account_id).debt, returned, lapsed)
    hold.expired = sum(amount for _, amount in lapsed)
    hold.state, hold.captured, hold.released, hold.loss = "settled", captured, hold.held - captured, loss
    hold.due_at = None
    lines = _lines(book, hold, spent=spent, returned=returned, repaid=repaid, lapsed=lapsed)
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
        expired=hold.expired,
        loss=loss,
        available=wallet.available,
        wallet_held=wallet.held,
        wallet_version=wallet.version,
        entries=tuple(lines),
        items=tuple(SettledItem.model_validate(item) for item in hold.items),
    )
    outbox.add(session, settled, cause=cause)


def _split(book: Book, funding: Funding, *, captured: int) -> tuple[Funding, Funding, Funding]:
    """What each grant pays, what it gets back, and what is lost because it expired. Expired grants pay first."""
    spent: Funding = []
    returned: Funding = []
    lapsed: Funding = []
    for grant_id, amount in sorted(funding, key=lambda part: part[0] not in book.expired_grants):
        part = min(captured, amount)
        captured -= part
        if part:
            spent.append((grant_id, part))
        if rest := amount - part:
            (lapsed if grant_id in book.expired_grants else returned).append((grant_id, rest))
    return spent, returned, lapsed


def _repay(debt: int, returned: Funding, lapsed: Funding) -> tuple[int, Funding]:
    """How much of a debt, beyond what returns anyway, lapsed credits repay; and what still lapses."""
    open_debt = max(0, debt - sum(amount for _, amount in returned))
    repaid = 0
    rest = []
    for grant_id, amount in lapsed:
        part = min(amount, open_debt - repaid)
        repaid += part
        if amount > part:
            rest.append((grant_id, amount - part))
    return repaid, rest


def _lines(
    book: Book, hold: Hold, *, spent: Funding, returned: Funding, repaid: int, lapsed: Funding
) -> list[LedgerLine]:
    """Entries grant by grant, so that it is known which grant paid and which got its credits back."""
    lines = [LedgerLine(account=HELD, amount=-amount, grant_id=grant_id) for grant_id, amount in hold.funding]
    lines += [LedgerLine(account=EARNED, amount=amount, grant_id=grant_id) for grant_id, amount in spent]
    lines += book.credit(hold.account_id, returned)
    lines += [LedgerLine(account=AVAILABLE, amount=repaid)] if repaid else []
    lines += [LedgerLine(account=EXPIRED, amount=amount, grant_id=grant_id) for grant_id, amount in lapsed]
    if hold.loss:
        lines += [LedgerLine(account=LOSS, amount=-hold.loss), LedgerLine(account=EARNED, amount=hold.loss)]
    return lines


def _receipt(items: Sequence[dict[str, Any]], spent: Funding) -> list[dict[str, Any]]:
    """Each item with what was captured for it and which grants paid, in the order of the items."""
    purse = deque(spent)
    receipt = []
    for item in items:
        due = item["price"]
        paid_by = []
        while due and purse:
            grant_id, left = purse.popleft()
            part = min(due, left)
            due -= part
            if left > part:
                purse.appendleft((grant_id, left - part))
            paid_by.append({"grant_id": grant_id, "amount": part})
        receipt.append({**item, "captured": item["price"] - due, "paid_by": paid_by})
    return receipt
