"""What Stripe says about its objects, reduced to what billing acts on. ``account_id`` is what billing wrote there."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Money = Literal["ours", "taken", "returned"]

_ACCOUNT_ID = re.compile(r"acc_[0-9A-HJKMNP-TV-Z]{26}")


def is_account_id(text: str) -> bool:
    """Whether metadata that anybody may have written at Stripe names an account."""
    return _ACCOUNT_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeFact:
    """One object as Stripe told it; ``fetched_at`` is the database's clock just before Stripe was asked."""

    object_id: str
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class Promise:
    """What a checkout was to bring when it was made. ``kind``: pack or plan; ``amount`` in milli-credits."""

    kind: str
    offer: str
    price_id: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutFact(StripeFact):
    """A Checkout Session of billing's own making. One that was made before sessions carried it has no promise."""

    checkout_id: str
    account_id: str
    promise: Promise | None
    status: str
    payment_status: str
    payment_failed: bool
    payment_intent: str | None
    amount_paid: int
    subscription_id: str | None

    @property
    def is_paid(self) -> bool:
        """Whether the money is ours, or none was asked for."""
        return self.payment_status in {"paid", "no_payment_required"}


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
    period_start: datetime
    period_end: datetime
    paid_at: datetime | None
    amount_paid: int
    payment_intents: tuple[str, ...]

    @property
    def good_until(self) -> datetime:
        """When the credits of the period end: with it, or as long after its payment when it was over by then."""
        if self.paid_at is None or self.paid_at < self.period_end:
            return self.period_end
        return self.paid_at + (self.period_end - self.period_start)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFact(StripeFact):
    """Money that went back to a customer, or was to."""

    status: str
    amount: int
    payment_intent: str | None

    @property
    def money(self) -> Money:
        """Where the money is: a refund that failed or was called off has come back."""
        if self.status in {"failed", "canceled"}:
            return "returned"
        return "ours" if self.status == "requires_action" else "taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeFact(StripeFact):
    """A payment that a cardholder's bank took back, or an inquiry before that."""

    status: str
    amount: int
    payment_intent: str | None

    @property
    def money(self) -> Money:
        """Where the money is: an inquiry (``warning_..``) has not moved any yet."""
        if self.status in {"won", "prevented"}:
            return "returned"
        return "ours" if self.status.startswith("warning_") else "taken"


Reversal = RefundFact | DisputeFact
Fact = CheckoutFact | SubscriptionFact | InvoiceFact | RefundFact | DisputeFact
