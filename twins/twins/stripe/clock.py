"""What falls due by an account's clock: sessions expire, periods end, failed payments are tried again, debits settle.

One step at a time and in order of time, each at its own moment, so that a clock moved by a year does what a year does.
"""

from collections.abc import Callable, Iterator

from twins.stripe import checkout, subscriptions
from twins.stripe.account import Account, Change, Object
from twins.stripe.params import Params

Step = Callable[[Change], object]
Due = tuple[int, Step]


def catch_up(account: Account) -> Change | None:
    """The next thing that is due, done but not yet on file; None when nothing is."""
    due = min(_due(account), key=lambda item: item[0], default=None)
    if due is None or due[0] > account.now():
        return None
    moment, step = due
    change = Change(account)
    change.now = moment
    step(change)
    return change


def _due(account: Account) -> Iterator[Due]:
    for item in account.objects.values():
        if (due := _RULES.get(item["object"], _never)(item)) is not None:
            yield due


def _never(_item: Object) -> None:
    return None


def _session(session: Object) -> Due | None:
    if session["status"] != "open":
        return None
    return session["expires_at"], lambda change: checkout.expire_session(change, Params(), session["id"])


def _subscription(subscription: Object) -> Due | None:
    if subscription["status"] in subscriptions.ENDED:
        return None
    period_end = subscription["items"]["data"][0]["current_period_end"]
    return period_end, lambda change: subscriptions.renew(change, subscription["id"])


def _invoice(invoice: Object) -> Due | None:
    if invoice["status"] != "open" or invoice["next_payment_attempt"] is None:
        return None
    return invoice["next_payment_attempt"], lambda change: subscriptions.collect(change, invoice["id"])


def _intent(intent: Object) -> Due | None:
    if intent["status"] != "processing":
        return None
    return intent["_settles_at"], lambda change: checkout.settle_payment(change, intent["id"])


_RULES: dict[str, Callable[[Object], Due | None]] = {
    "checkout.session": _session,
    "subscription": _subscription,
    "invoice": _invoice,
    "payment_intent": _intent,
}
