"""How a customer can pay: Stripe's published test cards and test accounts, and what becomes of a payment with each.

One differs: `4000 0000 0000 0341` pays while the customer is there and fails at every renewal, so that a renewal can
fail without changing the card first. (At Stripe the first payment fails as well.)
"""

from dataclasses import dataclass

from twins.stripe import errors
from twins.stripe.account import Change, Object
from twins.stripe.errors import StripeError
from twins.stripe.ids import new_id


@dataclass(frozen=True)
class Refusal:
    """Why a bank says no."""

    message: str
    code: str
    decline_code: str | None = None

    def error(self, charge: str | None = None) -> StripeError:
        return errors.card_declined(self.message, code=self.code, decline_code=self.decline_code, charge=charge)


@dataclass(frozen=True)
class Means:
    """A card or a bank account and its fate."""

    number: str
    kind: str
    brand: str
    explanation: str
    refusal: Refusal | None = None
    renewal_refusal: Refusal | None = None
    dispute: str | None = None

    @property
    def spaced(self) -> str:
        return " ".join(self.number[start : start + 4] for start in range(0, len(self.number), 4))


_DECLINED = Refusal("Your card was declined.", "card_declined", "generic_decline")
_NO_FUNDS = Refusal("Your card has insufficient funds.", "card_declined", "insufficient_funds")
_EXPIRED = Refusal("Your card has expired.", "expired_card", "expired_card")
_CVC = Refusal("Your card's security code is incorrect.", "incorrect_cvc", "incorrect_cvc")
_PROCESSING = Refusal(
    "An error occurred while processing your card. Try again in a little bit.", "processing_error", "processing_error"
)
_DEBIT_FAILED = Refusal("The customer's account has insufficient funds to cover this payment.", "insufficient_funds")
_UNKNOWN = Refusal(
    "Your card was declined. Your request was in test mode, but used a non test card. "
    "For a list of valid test cards, visit: https://stripe.com/docs/testing.",
    "card_declined",
    "test_mode_live_card",
)
_INCORRECT = Refusal("Your card number is incorrect.", "incorrect_number")

_ALL = (
    Means("4242424242424242", "card", "visa", "is accepted"),
    Means("5555555555554444", "card", "mastercard", "is accepted"),
    Means("4000000000000341", "card", "visa", "is accepted now, declined at renewal", renewal_refusal=_DECLINED),
    Means("4000000000000002", "card", "visa", "is declined", _DECLINED),
    Means("4000000000009995", "card", "visa", "has insufficient funds", _NO_FUNDS),
    Means("4000000000000069", "card", "visa", "has expired", _EXPIRED),
    Means("4000000000000127", "card", "visa", "has another security code", _CVC),
    Means("4000000000000119", "card", "visa", "meets a processing error", _PROCESSING),
    Means("4000000000000259", "card", "visa", "is accepted, then disputed as fraud", dispute="fraudulent"),
    Means("AT611904300234573201", "sepa_debit", "", "settles later"),
    Means("AT861904300235473202", "sepa_debit", "", "fails later", _DEBIT_FAILED, _DEBIT_FAILED),
)
MEANS = {means.number: means for means in _ALL}


def means_of(number: str) -> Means:
    """The card or account of a typed number. Raises StripeError 402 for one that is no test number."""
    plain = "".join(number.split()).upper()
    if plain in MEANS:
        return MEANS[plain]
    raise (_UNKNOWN if _passes_luhn(plain) else _INCORRECT).error()


def means_behind(method: Object) -> Means:
    """The card or account behind a payment method."""
    return MEANS[method["_number"]]


def new_method(change: Change, means: Means, *, customer: str | None, email: str | None) -> Object:
    """A payment method, attached to the customer if there is one."""
    details = (
        {
            "brand": means.brand,
            "country": "US",
            "exp_month": 12,
            "exp_year": 2034,
            "fingerprint": f"twin{means.number[-4:]}",
            "funding": "credit",
            "last4": means.number[-4:],
        }
        if means.kind == "card"
        else {"bank_code": means.number[4:9], "country": means.number[:2], "last4": means.number[-4:]}
    )
    method = {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "limited",
        "billing_details": {"address": None, "email": email, "name": None, "phone": None},
        means.kind: details,
        "created": change.now,
        "customer": customer,
        "livemode": False,
        "metadata": {},
        "type": means.kind,
        "_number": means.number,
    }
    change.put(method)
    if customer:
        change.emit("payment_method.attached", method)
    return method


def _passes_luhn(number: str) -> bool:
    if not number.isdecimal() or not 12 <= len(number) <= 19:
        return False
    digits = [int(digit) for digit in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[0::2]) + sum(doubled)) % 10 == 0
