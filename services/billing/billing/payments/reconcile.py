"""Reconciliation with Stripe: every payment, refund and dispute is booked, and nothing is booked that Stripe denies.

Stripe is asked first and the books are read afterwards, so what is booked meanwhile is no drift; what an event that
still waits is about is left to its worker.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Row, func, select, text

from billing.models import wallets
from billing.payments.errors import StripeMissingError
from billing.payments.facts import CheckoutFact, InvoiceFact, RefundFact, Reversal, is_account_id
from billing.payments.fulfilment import share_of
from billing.payments.offers import Offers
from billing.payments.stripe_api import StripeApi
from billing.payments.tables import checkouts, purchases, stripe_events
from billing.reconcile import Drift
from kit.database import Database, ReadSession
from kit.sql import among

Payment = CheckoutFact | InvoiceFact

_BOOKED = text("""
    SELECT split_part(key, ':', 1), split_part(key, ':', 2), account_id, amount FROM grants
    WHERE key LIKE 'checkout:%' OR key LIKE 'invoice:%'
    UNION ALL
    SELECT split_part(r.key, ':', 1), split_part(r.key, ':', 2), g.account_id, r.asked
    FROM reversals r JOIN grants g ON g.id = r.grant_id WHERE r.asked > 0
""")


@dataclass(frozen=True, slots=True)
class Booking:
    """Credits that were granted for an object of Stripe, or are to be taken back for it.

    ``kind``: checkout, invoice, refund, dispute.
    """

    kind: str
    object_id: str
    account_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class Books:
    """What billing has booked, by the object of Stripe that it was for, and what it needs to know what should be."""

    bookings: dict[str, Booking]
    checkouts: dict[str, Row[Any]]
    purchases: dict[str | None, Row[Any]]
    waiting: frozenset[str]
    accounts: frozenset[str]
    offers: Offers

    @classmethod
    async def read(cls, session: ReadSession, offers: Offers, *, accounts: Collection[str]) -> Self:
        """Everything there is, and which of these accounts are known."""
        booked = [Booking(*row) for row in await session.execute(_BOOKED)]
        open_events = select(stripe_events.c.object_id).where(stripe_events.c.outcome.is_(None))
        known = select(wallets.c.account_id).where(among(wallets.c.account_id, accounts))
        return cls(
            bookings={booking.object_id: booking for booking in booked},
            checkouts={row.id: row for row in await session.execute(select(checkouts))},
            purchases={row.payment_intent: row for row in await session.execute(select(purchases))},
            waiting=frozenset((await session.execute(open_events)).scalars()),
            accounts=frozenset((await session.execute(known)).scalars()),
            offers=offers,
        )

    def compare(self, fact: Payment | Reversal) -> Drift | None:
        """How the books differ from what Stripe says of one object."""
        if fact.object_id in self.waiting:
            return None
        return self._payment(fact) if isinstance(fact, Payment) else self._reversal(fact)

    def _payment(self, fact: Payment) -> Drift | None:
        owed = self._owed(fact)
        if owed is None or fact.object_id in self.bookings:
            return None
        name = "session_not_booked" if isinstance(fact, CheckoutFact) else "invoice_not_booked"
        return _drift(name, fact.account_id, fact.object_id, kept=0, stripe=owed)

    def _owed(self, fact: Payment) -> int | None:
        """The credits that a payment brings; None when it is no payment of ours, 0 when no offer says how many."""
        if isinstance(fact, InvoiceFact):
            plan = self.offers.plan_of_price(fact.price_id)
            return (plan.amount * fact.quantity if plan else 0) if is_account_id(fact.account_id) else None
        checkout = self.checkouts.get(fact.checkout_id)
        if not fact.is_paid or fact.subscription_id is not None:
            return None
        if checkout is not None:
            return checkout.amount if (checkout.account_id, checkout.kind) == (fact.account_id, "pack") else None
        if fact.promise is not None:
            return fact.promise.amount if is_account_id(fact.account_id) else None
        return 0 if fact.account_id in self.accounts else None

    def _reversal(self, fact: Reversal) -> Drift | None:
        purchase, booking = self.purchases.get(fact.payment_intent), self.bookings.get(fact.object_id)
        kind = "refund" if isinstance(fact, RefundFact) else "dispute"
        if booking is None and purchase is not None and fact.money == "taken":
            share = share_of(purchase, fact.amount)
            return _drift(f"{kind}_not_booked", purchase.account_id, fact.object_id, kept=0, stripe=share)
        if booking is not None and fact.money == "returned":
            return _drift(f"{kind}_not_returned", booking.account_id, fact.object_id, kept=booking.amount, stripe=0)
        return None


async def reconcile_with_stripe(db: Database, api: StripeApi, offers: Offers) -> list[Drift]:
    """Every difference between the books and Stripe. Raises StripeUnavailableError and StripeRefusedError."""
    async with db.read() as session:
        at = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    said = [fact async for fact in api.everything(at=at)]
    async with db.read() as session:
        accounts = {fact.account_id for fact in said if isinstance(fact, CheckoutFact)}
        books = await Books.read(session, offers, accounts=accounts)
    drifts = [drift for fact in said if (drift := books.compare(fact))]
    listed = {fact.object_id for fact in said}
    for booking in books.bookings.values():
        if booking.object_id not in listed and not await _confirmed(api, booking, at=at):
            name = f"{_NAMES[booking.kind]}_without_stripe"
            drifts.append(_drift(name, booking.account_id, booking.object_id, kept=booking.amount, stripe=0))
    return sorted(drifts, key=lambda drift: (drift.name, drift.subject))


_NAMES = {"checkout": "session", "invoice": "invoice", "refund": "refund", "dispute": "dispute"}


async def _confirmed(api: StripeApi, booking: Booking, *, at: datetime) -> bool:
    """Whether Stripe knows what was booked after all: it may be younger than the list."""
    try:
        match booking.kind:
            case "checkout":
                session = await api.checkout(booking.object_id, at=at)
                return session is not None and session.is_paid
            case "invoice":
                invoice = await api.invoice(booking.object_id, at=at)
                return invoice is not None and invoice.status == "paid"
            case "refund":
                return (await api.refund(booking.object_id, at=at)).money == "taken"
            case _:
                return (await api.dispute(booking.object_id, at=at)).money == "taken"
    except StripeMissingError:
        return False


def _drift(name: str, account_id: str, subject: str, *, kept: int, stripe: int) -> Drift:
    return Drift(name, account_id, subject, kept, stripe, authority="Stripe")
