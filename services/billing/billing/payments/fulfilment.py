"""What follows from Stripe's facts: credits are granted once per session and once per invoice, and taken back once per
refund and dispute. Facts may come in any order and any number of times; of two about one object the one that was asked
for later counts, whichever worker is faster.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import structlog
from sqlalchemy import Row, select, text, update
from sqlalchemy.dialects.postgresql import insert

from billing.clawbacks import claw_back, restore
from billing.errors import GrantConflictError
from billing.grants import grant_plan_period, grant_purchase
from billing.ledger import input_hash
from billing.payments.errors import UnknownPriceError
from billing.payments.facts import (
    CheckoutFact,
    DisputeFact,
    Fact,
    InvoiceFact,
    Promise,
    RefundFact,
    Reversal,
    SubscriptionFact,
    is_account_id,
)
from billing.payments.offers import Offers
from billing.payments.subscriptions import record_payment, record_subscription
from billing.payments.tables import checkouts, purchases
from kit.database import WriteSession

log = structlog.get_logger()

_LATEST = text(
    "INSERT INTO stripe_objects AS known (id, fetched_at)"
    " SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:times AS timestamptz[]))"
    " ON CONFLICT (id) DO UPDATE SET fetched_at = excluded.fetched_at WHERE known.fetched_at < excluded.fetched_at"
    " RETURNING id"
)


class Fulfilment:
    """Acts on facts, under the offers of the house. Each method says in a word what came of it."""

    def __init__(self, offers: Offers, *, bonus: int) -> None:
        self._offers = offers
        self._bonus = bonus

    async def apply(self, session: WriteSession, facts: Sequence[Fact]) -> str:
        """Act on facts of one event; the last is the one that the event is about."""
        outcome = "ignored"
        latest = await _latest(session, facts)
        for fact in facts:
            if fact.object_id not in latest:
                outcome = "superseded"
                continue
            match fact:
                case CheckoutFact():
                    outcome = await self._checkout(session, fact)
                case InvoiceFact():
                    outcome = await self._invoice(session, fact)
                case SubscriptionFact():
                    outcome = await self._subscription(session, fact)
                case RefundFact():
                    outcome = await _reverse(session, fact, key=f"refund:{fact.object_id}", reason="refunded")
                case DisputeFact():
                    outcome = await _reverse(session, fact, key=f"dispute:{fact.object_id}", reason="disputed")
        return outcome

    async def _checkout(self, session: WriteSession, fact: CheckoutFact) -> str:
        mine = (checkouts.c.id == fact.checkout_id) & (checkouts.c.account_id == fact.account_id)
        query = select(checkouts).where(mine).with_for_update()
        checkout = (await session.execute(query)).one_or_none()
        if checkout is None and fact.promise is not None and is_account_id(fact.account_id):
            await _remake(session, fact, fact.promise)
            checkout = (await session.execute(query)).one_or_none()
        if checkout is None:
            return "ignored"
        state = _state_of(fact)
        if checkout.state != "paid":  # the last word
            known = {"state": state, "session_id": fact.object_id}
            await session.execute(update(checkouts).where(mine).values(known))
        if state != "paid" or checkout.kind == "plan":  # the credits of a plan come with its invoices
            return state
        return await self._grant_pack(session, checkout, fact)

    async def _grant_pack(self, session: WriteSession, checkout: Row[Any], fact: CheckoutFact) -> str:
        key = f"checkout:{fact.object_id}"
        fresh = await grant_purchase(
            session,
            account_id=fact.account_id,
            key=key,
            amount=checkout.amount,
            reason=checkout.offer,
            bonus=self._bonus,
        )
        intents = (fact.payment_intent,) if fact.payment_intent else ()
        await _remember(session, fact.account_id, key, intents, paid=fact.amount_paid, amount=checkout.amount)
        return "granted" if fresh else "granted_before"

    async def _invoice(self, session: WriteSession, fact: InvoiceFact) -> str:
        if fact.status != "paid":
            return "unpaid"
        if not is_account_id(fact.account_id):
            return "ignored"
        plan = self._offers.plan_of_price(fact.price_id)
        if plan is None:
            raise UnknownPriceError(f"invoice {fact.object_id} was paid for {fact.price_id}, which is no plan")
        key, amount = f"invoice:{fact.object_id}", plan.amount * fact.quantity
        try:
            fresh = await grant_plan_period(
                session,
                account_id=fact.account_id,
                key=key,
                amount=amount,
                plan=plan.name,
                period_end=fact.good_until,
                bonus=self._bonus,
                rollover=plan.rollover,
            )
        except GrantConflictError:  # the plan was changed in the settings since; what was granted then stands
            return "granted_before"
        await _remember(session, fact.account_id, key, fact.payment_intents, paid=fact.amount_paid, amount=amount)
        await record_payment(session, fact, offers=self._offers)
        return "granted" if fresh else "granted_before"

    async def _subscription(self, session: WriteSession, fact: SubscriptionFact) -> str:
        if not is_account_id(fact.account_id):
            return "ignored"
        return await record_subscription(session, fact, offers=self._offers, bonus=self._bonus)


async def _remake(session: WriteSession, fact: CheckoutFact, promise: Promise) -> None:
    """The row of a checkout that was made after the backup from which this database was restored.

    Only who has the account's secret key writes the metadata of a session, so it is as good as the row was.
    """
    values = {"id": fact.checkout_id, "account_id": fact.account_id, **asdict(promise)}
    remade = insert(checkouts).values(values | {"input_hash": input_hash(values)}).on_conflict_do_nothing()
    await session.execute(remade)
    log.warning("checkout.remade", checkout_id=fact.checkout_id, session_id=fact.object_id)


async def _latest(session: WriteSession, facts: Sequence[Fact]) -> set[str]:
    """The objects of which no later answer was acted on; locks them in id order until this transaction ends."""
    times = {fact.object_id: fact.fetched_at for fact in facts}
    if not times:
        return set()
    ids = sorted(times)
    rows = await session.execute(_LATEST, {"ids": ids, "times": [times[object_id] for object_id in ids]})
    return set(rows.scalars())


async def _reverse(session: WriteSession, fact: Reversal, *, key: str, reason: str) -> str:
    """Credits follow the money of a refund or dispute."""
    purchase = await _purchase_of(session, fact.payment_intent)
    if purchase is None:
        return "ignored"
    match fact.money:
        case "ours":
            return "waiting"
        case "returned":
            fresh = await restore(session, account_id=purchase.account_id, key=key, grant_key=purchase.grant_key)
            return "restored" if fresh else "nothing_to_restore"
        case "taken":
            return await _take_back(session, purchase, key=key, money=fact.amount, reason=reason)


async def _take_back(session: WriteSession, purchase: Row[Any], *, key: str, money: int, reason: str) -> str:
    amount = share_of(purchase, money)
    fresh = await claw_back(
        session,
        account_id=purchase.account_id,
        key=key,
        grant_key=purchase.grant_key,
        amount=amount,
        reason=reason,
    )
    return "taken_back" if fresh else "taken_back_before"


def share_of(purchase: Row[Any], money: int) -> int:
    """The share of a purchase's credits that this part of its price paid for, rounded up."""
    return int(-(-purchase.amount * min(money, purchase.paid) // purchase.paid))


async def _purchase_of(session: WriteSession, payment_intent: str | None) -> Row[Any] | None:
    query = select(purchases).where(purchases.c.payment_intent == payment_intent)
    return (await session.execute(query)).one_or_none()


async def _remember(
    session: WriteSession, account_id: str, grant_key: str, intents: Sequence[str], *, paid: int, amount: int
) -> None:
    rows = [
        {"payment_intent": intent, "account_id": account_id, "grant_key": grant_key, "paid": paid, "amount": amount}
        for intent in intents
        if paid
    ]
    if rows:
        await session.execute(insert(purchases).values(rows).on_conflict_do_nothing())


def _state_of(fact: CheckoutFact) -> str:
    if fact.is_paid:
        return "paid"
    if fact.status == "complete":
        return "failed" if fact.payment_failed else "processing"
    return "expired" if fact.status == "expired" else "open"
