"""The net under the webhooks: from time to time Stripe is asked for the events that it could not deliver.

Stripe keeps events for 30 days, so a row of ``stripe_events`` must outlive that to be known when it is listed again.
"""

from datetime import timedelta

import structlog
from sqlalchemy import delete, func

from billing.payments.inbox import StripeInbox
from billing.payments.stripe_api import StripeApi
from billing.payments.tables import stripe_events, stripe_objects, stripe_sweeps
from kit.database import Database
from kit.leases import Lease, LeaseWorker, retry_after, write_held

log = structlog.get_logger()

KEEP_DAYS = 90


def sweep_worker(db: Database, api: StripeApi, inbox: StripeInbox, *, interval: timedelta) -> LeaseWorker:
    """The worker that asks every ``interval``; one process of all does it."""
    horizon = func.now() - func.make_interval(0, 0, 0, KEEP_DAYS)
    old_events = delete(stripe_events).where(
        stripe_events.c.received_at < horizon, stripe_events.c.outcome.is_not(None)
    )
    old_answers = delete(stripe_objects).where(stripe_objects.c.fetched_at < horizon)

    async def sweep(lease: Lease) -> None:
        missed = [event async for event in api.undelivered()]
        again = {**retry_after(interval.total_seconds()), "attempts": 0}
        async with db.write() as session:
            found = await inbox.note(session, missed, source="sweep")
            await session.execute(old_events)
            await session.execute(old_answers)
            await write_held(session, stripe_sweeps, lease, again)
        log.info("stripe.swept", undelivered=len(missed), new=found)

    return LeaseWorker(db, stripe_sweeps, sweep, service="billing", concurrency=1)
