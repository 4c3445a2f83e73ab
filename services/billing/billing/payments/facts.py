"""What Stripe says about its objects, reduced to what billing acts on. ``account_id`` is what billing wrote there."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeFact:
    """One object as Stripe told it; ``fetched_at`` is the database's clock just before Stripe was asked."""

    object_id: str
    fetched_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutFact(StripeFact):
    """A Checkout Session of billing's own making."""

    checkout_id: str
    account_id: str
    status: str
    payment_status: str
    payment_failed: bool
    payment_intent: str | None
    amount_paid: int
    subscription_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionFact(StripeFact):
    """A subscription."""

    account_id: str
    price_id: str
    status: str
    period_end: datetime
    cancel_at_period_end: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceFact(StripeFact):
    """One invoice of a subscription, for the period it pays."""

    account_id: str
    subscription_id: str
    status: str
    price_id: str
    quantity: int
    period_end: datetime
    amount_paid: int
    payment_intents: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFact(StripeFact):
    """Money that went back to a customer, or was to."""

    status: str
    amount: int
    payment_intent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeFact(StripeFact):
    """A payment that a cardholder's bank took back, or an inquiry before that."""

    status: str
    amount: int
    payment_intent: str | None


Fact = CheckoutFact | SubscriptionFact | InvoiceFact | RefundFact | DisputeFact
