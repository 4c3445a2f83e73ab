"""The net under the webhooks: from time to time Stripe is asked for the events that it could not deliver."""

from datetime import timedelta

import structlog

from billing.payments.inbox import StripeInbox
from billing.payments.stripe_api import StripeApi
from billing.payments.tables import stripe_sweeps
from kit.database import Database
from kit.leases import Lease, LeaseWorker, retry_after, write_held

log = structlog.get_logger()


def sweep_worker(db: Database, api: StripeApi, inbox: StripeInbox, *, interval: timedelta) -> LeaseWorker:
    """The worker that asks every ``interval``; one process of all does it."""

    async def sweep(lease: Lease) -> None:
        missed = [event async for event in api.undelivered()]
        again = retry_after(interval.total_seconds(), attempts=0)
        async with db.write() as session:
            found = await inbox.note(session, missed, source="sweep")
            await write_held(session, stripe_sweeps, lease, again)
        log.info("stripe.swept", undelivered=len(missed), new=found)

    return LeaseWorker(db, stripe_sweeps, sweep, service="billing", concurrency=1)
