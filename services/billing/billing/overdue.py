"""The overdue timer: a hold that outlives its job's deadline and grace is called out until a terminal event ends it.

Billing never ends a hold by itself. Generation owns the deadline and answers ``HoldOverdue`` with a terminal event.
"""

from datetime import timedelta

import structlog
from sqlalchemy import select

from billing.models import holds, wallets
from kit import outbox
from kit.database import Database
from kit.leases import Lease, LeaseWorker, retry_after, write_held
from shared.events import HoldOverdue

log = structlog.get_logger()


def overdue_worker(db: Database, *, grace: timedelta) -> LeaseWorker:
    """The worker that calls out overdue holds, again after every ``grace``."""

    async def call_out(lease: Lease) -> None:
        hold = lease.row
        lock_wallet = select(wallets.c.account_id).where(wallets.c.account_id == hold.account_id).with_for_update()
        again = retry_after(grace.total_seconds(), attempts=0)
        async with db.write() as session:
            await session.execute(lock_wallet)
            await write_held(session, holds, lease, again)
            overdue = HoldOverdue(
                account_id=hold.account_id, job_id=hold.job_id, amount=hold.held, deadline=hold.deadline
            )
            outbox.add(session, overdue, cause=hold.causation_id, traceparent=hold.traceparent)
        log.warning("hold.overdue", job_id=hold.job_id, account_id=hold.account_id, amount=hold.held)

    return LeaseWorker(db, holds, call_out, service="billing", concurrency=4)
