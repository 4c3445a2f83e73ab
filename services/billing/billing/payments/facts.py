"""What Stripe says about its objects, reduced to what billing acts on. ``account_id`` is what billing wrote there."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class CheckoutFact:
    """A Checkout Session of billing's own making."""

    session_id: str
    checkout_id: str
    account_id: str
    status: str
    payment_status: str
    payment_failed: bool
    payment_intent: str | None
    amount_paid: int
    subscription_id: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionFact:
    """A subscription; ``fetched_at`` is the database's clock just before Stripe was asked."""

    subscription_id: str
    account_id: str
    price_id: str
    status: str
    period_end: datetime
    cancel_at_period_end: bool
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class InvoiceFact:
    """One invoice of a subscription, for the period it pays."""

    invoice_id: str
    account_id: str
    subscription_id: str
    status: str
    price_id: str
    quantity: int
    period_end: datetime
    amount_paid: int
    payment_intents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefundFact:
    """Money that went back to a customer, or was to."""

    refund_id: str
    status: str
    amount: int
    payment_intent: str | None


@dataclass(frozen=True, slots=True)
class DisputeFact:
    """A payment that a cardholder's bank took back, or an inquiry before that."""

    dispute_id: str
    status: str
    amount: int
    payment_intent: str | None


Fact = CheckoutFact | SubscriptionFact | InvoiceFact | RefundFact | DisputeFact
