"""The customer portal: a page on which a customer cancels, changes the card and pays what is open."""

from twins.stripe import errors, subscriptions
from twins.stripe.account import Change, Object
from twins.stripe.cards import means_of, new_method
from twins.stripe.customers import pay_with
from twins.stripe.ids import new_id
from twins.stripe.params import Params, PortalCreate, SubscriptionUpdate

# A portal link is short-lived: unused for five minutes, or an hour after its last use at Stripe; here an hour flat.
LIFE_SECONDS = 3600


def create_portal_session(change: Change, params: PortalCreate) -> Object:
    change.find("customer", params.customer, param="customer")
    session_id = new_id("bps")
    session = {
        "id": session_id,
        "object": "billing_portal.session",
        "configuration": params.configuration or "bpc_twin",
        "created": change.now,
        "customer": params.customer,
        "flow": None,
        "livemode": False,
        "locale": params.locale,
        "on_behalf_of": None,
        "return_url": params.return_url,
        "url": f"{change.pages_url}/portal/{session_id}",
    }
    change.put(session)
    change.emit("billing_portal.session.created", session)
    return session


def portal_customer(change: Change, session_id: str) -> Object:
    """Whose portal this is. Raises StripeError when the link has expired."""
    session = change.find("billing_portal.session", session_id)
    if change.now > session["created"] + LIFE_SECONDS:
        raise errors.invalid("This portal session has expired. Ask for a new link.")
    return change.get(session["customer"])


def subscriptions_of(change: Change, customer_id: str) -> list[Object]:
    return [found for found in change.all("subscription") if found["customer"] == customer_id]


def set_cancellation(change: Change, customer_id: str, subscription_id: str, *, wished: bool) -> None:
    _own(change, customer_id, "subscription", subscription_id)
    subscriptions.update_subscription(change, SubscriptionUpdate(cancel_at_period_end=wished), subscription_id)


def pay_open_invoice(change: Change, customer_id: str, invoice_id: str) -> None:
    _own(change, customer_id, "invoice", invoice_id)
    subscriptions.pay_invoice(change, Params(), invoice_id)


def change_card(change: Change, customer_id: str, *, number: str) -> None:
    """Pay everything from now on with another card. Raises StripeError 402 for one that the bank refuses."""
    means = means_of(number)
    if means.kind == "card" and means.refusal is not None:
        raise means.refusal.error()
    customer = change.get(customer_id)
    method = new_method(change, means, customer=customer_id, email=customer["email"])
    pay_with(change, customer_id, method)
    for subscription in subscriptions_of(change, customer_id):
        if subscription["status"] not in subscriptions.ENDED:
            wanted = SubscriptionUpdate(default_payment_method=method["id"])
            subscriptions.update_subscription(change, wanted, subscription["id"])


def _own(change: Change, customer_id: str, kind: str, object_id: str) -> None:
    if change.find(kind, object_id)["customer"] != customer_id:
        raise errors.no_such(kind, object_id)
