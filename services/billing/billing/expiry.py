"""Breakage: when a grant expires, what is left of it is booked to ``platform.expired``.

Each expiring grant is a lease that falls due at that moment. Credits that are held for a job just then stay good for
it; what the job does not use is booked as expired by its settlement.
"""

from sqlalchemy import delete, select

from billing.ledger import AVAILABLE, EXPIRED, Book
from billing.models import grant_expiries, grants
from kit import outbox
from kit.database import Database, WriteSession
from kit.leases import Lease, LeaseLostError, LeaseWorker, held_by
from shared.events import CreditsExpired
from shared.events.credits import LedgerLine


def expiry_worker(db: Database) -> LeaseWorker:
    """The worker that books what expired."""

    async def expire(lease: Lease) -> None:
        async with db.write() as session:
            book = await Book.open(session, [lease.row.account_id])
            taken = delete(grant_expiries).where(held_by(grant_expiries, lease)).returning(grant_expiries.c.grant_id)
            if (await session.execute(taken)).one_or_none() is None:
                raise LeaseLostError(f"the expiry of {lease.id} was booked or taken over")
            await _book_breakage(session, book, account_id=lease.row.account_id, grant_id=lease.id)
            await book.write(session)

    return LeaseWorker(db, grant_expiries, expire, service="billing", concurrency=4)


async def _book_breakage(session: WriteSession, book: Book, *, account_id: str, grant_id: str) -> None:
    remaining = (await session.execute(select(grants.c.remaining).where(grants.c.id == grant_id))).scalar_one()
    if not remaining:
        return
    wallet = book.post(
        "expire",
        key=f"expire:{grant_id}",
        account_id=account_id,
        lines=(
            LedgerLine(account=AVAILABLE, amount=-remaining, grant_id=grant_id),
            LedgerLine(account=EXPIRED, amount=remaining, grant_id=grant_id),
        ),
        inputs={"grant_id": grant_id},
    )
    expired = CreditsExpired(
        account_id=account_id,
        grant_id=grant_id,
        amount=remaining,
        available=wallet.available,
        held=wallet.held,
        wallet_version=wallet.version,
    )
    outbox.add(session, expired)
