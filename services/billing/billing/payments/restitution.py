"""Credits that return: a dispute was won, or a refund did not reach the customer and the money is ours again."""

from sqlalchemy import func, select, update

from billing.grants import give, inputs_of, was_booked
from billing.ledger import Book
from billing.models import entries, grants, transactions
from kit.database import WriteSession


async def restore(session: WriteSession, *, account_id: str, key: str, grant_key: str) -> str:
    """Give back what the clawback ``key`` took, once; nothing when it took nothing, whenever it would still come.

    The credits come as a grant of their own that does not expire, whatever became of the first one meanwhile.
    """
    book = await Book.open(session, [account_id])
    taken = select(func.sum(entries.c.amount)).join(transactions, transactions.c.id == entries.c.transaction_id)
    of_clawback = (transactions.c.key == f"clawback:{key}") & entries.c.account.startswith("funding.")
    amount = int(await session.scalar(taken.where(of_clawback)) or 0)
    if not amount:
        return "nothing_to_restore"
    restored = f"restored:{key}"
    inputs = inputs_of(account_id, source="refund", reason=restored, amount=amount)
    if await was_booked(session, key=f"grant:{restored}", inputs=inputs):
        return "restored_before"
    give(session, book, account_id, key=restored, source="refund", reason=restored, amount=amount)
    again = update(grants).where(grants.c.key == grant_key).values(clawed_back=grants.c.clawed_back - amount)
    await session.execute(again)
    await book.write(session)
    return "restored"
