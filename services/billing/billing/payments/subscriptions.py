"""Who has a plan, from the latest that Stripe said of each subscription."""

from datetime import UTC, datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.grants import open_wallets
from billing.payments.facts import InvoiceFact, SubscriptionFact
from billing.payments.offers import Offers
from billing.payments.schemas import SubscriptionView
from billing.payments.tables import subscriptions
from kit import outbox
from kit.database import ReadSession, WriteSession
from shared.events import SubscriptionChanged

ENTITLED = frozenset({"active", "trialing", "past_due"})
NO_PLAN = SubscriptionView(
    plan=None, status="none", is_subscriber=False, subscription_expires_at=None, cancel_at_period_end=False
)


async def record_subscription(session: WriteSession, fact: SubscriptionFact, *, offers: Offers, bonus: int) -> str:
    """Keep the latest of a subscription, and tell when it changes what the account has."""
    await (await open_wallets(session, {fact.account_id: None}, bonus=bonus)).write(session)
    before = await subscription_of(session, account_id=fact.account_id, offers=offers)
    plan = offers.plan_of_price(fact.price_id)
    values = {
        "account_id": fact.account_id,
        "price_id": fact.price_id,
        "plan": plan.name if plan else None,
        "status": fact.status,
        "period_end": fact.period_end,
        "cancel_at_period_end": fact.cancel_at_period_end,
    }
    upsert = insert(subscriptions).values(id=fact.object_id, **values)
    await session.execute(upsert.on_conflict_do_update(index_elements=["id"], set_=values))
    return await _tell(session, fact.account_id, before, offers=offers)


async def record_payment(session: WriteSession, fact: InvoiceFact, *, offers: Offers) -> None:
    """Note until when a subscription is paid. Its wallet is locked."""
    before = await subscription_of(session, account_id=fact.account_id, offers=offers)
    paid_until = func.greatest(subscriptions.c.paid_until, fact.period_end)
    mine = subscriptions.c.id == fact.subscription_id
    await session.execute(update(subscriptions).where(mine).values(paid_until=paid_until))
    await _tell(session, fact.account_id, before, offers=offers)


async def subscription_of(session: ReadSession | WriteSession, *, account_id: str, offers: Offers) -> SubscriptionView:
    """What an account has: of several subscriptions the best that still gives something, else the latest to end."""
    rows = (await session.execute(select(subscriptions).where(subscriptions.c.account_id == account_id))).all()
    now = datetime.now(UTC)
    views = [
        SubscriptionView(
            plan=row.plan,
            status=row.status,
            is_subscriber=_is_entitled(row.status, row.paid_until, now),
            subscription_expires_at=row.paid_until or row.period_end,
            cancel_at_period_end=row.cancel_at_period_end,
        )
        for row in rows
    ]
    return max(views, key=lambda view: _standing(view, offers), default=NO_PLAN)


def _is_entitled(status: str, paid_until: datetime | None, now: datetime) -> bool:
    """A renewal that is being collected does not interrupt a plan; one that failed does when the paid time is over."""
    if status == "past_due":
        return paid_until is not None and now < paid_until
    return status in ENTITLED


def _standing(view: SubscriptionView, offers: Offers) -> tuple[bool, bool, int, datetime]:
    ends = view.subscription_expires_at or datetime.min.replace(tzinfo=UTC)
    return view.is_subscriber, view.status in ENTITLED, offers.rank(view.plan or ""), ends


async def _tell(session: WriteSession, account_id: str, before: SubscriptionView, *, offers: Offers) -> str:
    after = await subscription_of(session, account_id=account_id, offers=offers)
    if after == before:
        return "unchanged"
    outbox.add(session, SubscriptionChanged(account_id=account_id, **after.model_dump()))
    return "changed"
