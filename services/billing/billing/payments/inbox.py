"""Events of Stripe on their way to their effect: noted once, then looked into by a leased worker.

Handling is three steps: fetch what Stripe says now (no transaction open), act on it, and close the row in the same
transaction. A process that dies in between loses its lease, and the next one fetches again.
"""

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from billing.payments.errors import StripeMissingError
from billing.payments.facts import CheckoutFact, Fact, InvoiceFact
from billing.payments.fulfilment import Fulfilment
from billing.payments.stripe_api import KINDS, StripeApi
from billing.payments.tables import purchases, stripe_events
from kit.database import Database, WriteSession, after_commit
from kit.leases import Lease, LeaseWorker, finished, write_held
from shared.events import WebhookReceived

log = structlog.get_logger()


class StripeInbox:
    """Takes events from webhooks and from the sweep."""

    def __init__(self, db: Database, api: StripeApi | None, fulfilment: Fulfilment) -> None:
        self._db = db
        self._stripe = api
        self._fulfilment = fulfilment
        self.worker = LeaseWorker(db, stripe_events, self._look_into, service="billing", concurrency=4)

    async def on_webhook_received(self, session: WriteSession, events: list[WebhookReceived]) -> None:
        """Note what Stripe told."""
        await self.note(session, [(e.external_id, e.kind, e.object_id) for e in events], source="webhook")

    async def note(self, session: WriteSession, events: Sequence[tuple[str, str, str]], *, source: str) -> int:
        """Note events by id, kind and object, each once whoever tells of it. Returns how many are new."""
        rows = [
            {"id": event_id, "kind": kind, "object_id": object_id, "source": source, "due_at": func.now()}
            for event_id, kind, object_id in sorted(set(events))
            if kind in KINDS
        ]
        if not rows:
            return 0
        noted = insert(stripe_events).values(rows).on_conflict_do_nothing().returning(stripe_events.c.id)
        fresh = (await session.execute(noted)).all()
        after_commit(session, self.worker.wake)
        return len(fresh)

    async def _look_into(self, lease: Lease) -> None:
        event = lease.row
        try:
            facts = await self._facts(event.kind, event.object_id)
        except StripeMissingError as error:
            log.warning("stripe_event.object_missing", event_id=event.id, kind=event.kind, reason=str(error))
            facts = []
        async with self._db.write() as session:
            outcome = await self._fulfilment.apply(session, facts)
            await write_held(session, stripe_events, lease, {**finished(), "outcome": outcome})
        log.info("stripe_event.handled", event_id=event.id, kind=event.kind, outcome=outcome)

    async def _facts(self, kind: str, object_id: str) -> list[Fact]:
        """What Stripe says now of the object of an event, after what that rests on."""
        assert self._stripe is not None, "the worker runs only with a Stripe key"
        async with self._db.read() as session:
            at = (await session.execute(select(func.clock_timestamp()))).scalar_one()
        match kind.rsplit(".", 1)[0]:
            case "checkout.session":
                return await self._with_subscription(await self._stripe.checkout(object_id, at=at))
            case "invoice":
                return await self._with_subscription(await self._stripe.invoice(object_id, at=at))
            case "customer.subscription":
                return await self._subscription(object_id, at=at)
            case "charge.dispute":
                dispute = await self._stripe.dispute(object_id, at=at)
                return [*await self._origin(dispute.payment_intent, at=at), dispute]
            case "refund":
                refund = await self._stripe.refund(object_id, at=at)
                return [*await self._origin(refund.payment_intent, at=at), refund]
        refunds = await self._stripe.refunds_of(object_id, at=at)  # charge.refunded
        return [*await self._origin(refunds[0].payment_intent if refunds else None, at=at), *refunds]

    async def _with_subscription(self, fact: CheckoutFact | InvoiceFact | None) -> list[Fact]:
        if fact is None:
            return []
        if not fact.subscription_id:
            return [fact]
        return [*await self._subscription(fact.subscription_id, at=fact.fetched_at), fact]

    async def _subscription(self, subscription_id: str, *, at: datetime) -> list[Fact]:
        assert self._stripe is not None
        fact = await self._stripe.subscription(subscription_id, at=at)
        return [fact] if fact else []

    async def _origin(self, payment_intent: str | None, *, at: datetime) -> list[Fact]:
        """The purchase that a refund or dispute is about, unless it is on file: its own event may be yet to come."""
        assert self._stripe is not None
        if payment_intent is None:
            return []
        async with self._db.read() as session:
            known = select(purchases.c.grant_key).where(purchases.c.payment_intent == payment_intent)
            if await session.scalar(known) is not None:
                return []
        return await self._with_subscription(await self._stripe.origin_of(payment_intent, at=at))
