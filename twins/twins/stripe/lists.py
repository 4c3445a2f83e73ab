"""The list endpoints: which objects a caller's filters leave."""

from twins.stripe.account import Account, Change, Object
from twins.stripe.params import (
    CustomerList,
    EventList,
    InvoiceList,
    InvoicePaymentList,
    ListParams,
    PageParams,
    PaymentList,
    PriceList,
    ProductList,
    SessionList,
    SubscriptionList,
)
from twins.stripe.subscriptions import ENDED
from twins.stripe.views import page, paginate

# Stripe keeps events for 30 days.
EVENTS_KEPT_SECONDS = 30 * 24 * 3600


def list_products(change: Change, params: ProductList) -> Object:
    products = (item for item in change.all("product") if params.ids is None or item["id"] in params.ids)
    return page("/v1/products", (item for item in products if params.active in (None, item["active"])), params)


def list_prices(change: Change, params: PriceList) -> Object:
    prices = (item for item in change.all("price") if _equal(item, params, "active", "product", "type"))
    keys = params.lookup_keys
    return page("/v1/prices", (item for item in prices if keys is None or item["lookup_key"] in keys), params)


def list_customers(change: Change, params: CustomerList) -> Object:
    customers = (item for item in change.all("customer") if _equal(item, params, "email"))
    return page("/v1/customers", customers, params)


def list_sessions(change: Change, params: SessionList) -> Object:
    fields = ("customer", "payment_intent", "subscription", "status")
    sessions = (item for item in change.all("checkout.session") if _equal(item, params, *fields))
    return page("/v1/checkout/sessions", sessions, params)


def list_line_items(change: Change, params: PageParams, session_id: str) -> Object:
    lines = change.find("checkout.session", session_id)["_lines"]
    return paginate(f"/v1/checkout/sessions/{session_id}/line_items", lines, params)


def list_subscriptions(change: Change, params: SubscriptionList) -> Object:
    """All but ended ones, unless a status is asked for."""
    subscriptions = [item for item in change.all("subscription") if _equal(item, params, "customer")]
    if params.price:
        subscriptions = [s for s in subscriptions if s["items"]["data"][0]["price"]["id"] == params.price]
    if params.status is None:
        subscriptions = [item for item in subscriptions if item["status"] not in ENDED]
    elif params.status == "ended":
        subscriptions = [item for item in subscriptions if item["status"] in ENDED]
    elif params.status != "all":
        subscriptions = [item for item in subscriptions if item["status"] == params.status]
    return page("/v1/subscriptions", subscriptions, params)


def list_invoices(change: Change, params: InvoiceList) -> Object:
    invoices = (item for item in change.all("invoice") if _equal(item, params, "customer", "status"))
    wanted = params.subscription
    return page("/v1/invoices", (item for item in invoices if wanted in (None, item["_subscription"])), params)


def list_invoice_lines(change: Change, params: PageParams, invoice_id: str) -> Object:
    return paginate(f"/v1/invoices/{invoice_id}/lines", change.find("invoice", invoice_id)["_lines"], params)


def list_invoice_payments(change: Change, params: InvoicePaymentList) -> Object:
    payments = (item for item in change.all("invoice_payment") if _equal(item, params, "invoice", "status"))
    intent = params.payment.payment_intent if params.payment else None
    found = (item for item in payments if intent in (None, item["payment"]["payment_intent"]))
    return page("/v1/invoice_payments", found, params)


def list_payment_intents(change: Change, params: PaymentList) -> Object:
    return page("/v1/payment_intents", _payments(change, "payment_intent", params), params)


def list_charges(change: Change, params: PaymentList) -> Object:
    return page("/v1/charges", _payments(change, "charge", params), params)


def list_refunds(change: Change, params: PaymentList) -> Object:
    return page("/v1/refunds", _payments(change, "refund", params), params)


def list_disputes(change: Change, params: PaymentList) -> Object:
    return page("/v1/disputes", _payments(change, "dispute", params), params)


def list_endpoints(change: Change, params: ListParams) -> Object:
    return page("/v1/webhook_endpoints", change.all("webhook_endpoint"), params)


def list_events(change: Change, params: EventList) -> Object:
    oldest = change.now - EVENTS_KEPT_SECONDS
    events = [item for item in change.all("event") if item["created"] >= oldest]
    if params.type:
        events = [event for event in events if _is_of(event["type"], params.type)]
    if params.types:
        events = [event for event in events if event["type"] in params.types]
    if params.delivery_success is not None:
        undelivered = _undelivered(change.account)
        events = [event for event in events if (event["id"] not in undelivered) is params.delivery_success]
    return page("/v1/events", events, params)


def _undelivered(account: Account) -> set[str]:
    """Events of which a delivery is pending or has failed for good, unless a later one to that endpoint arrived."""
    latest = {(delivery.event, delivery.endpoint): delivery for delivery in account.deliveries.values()}
    return {delivery.event for delivery in latest.values() if delivery.state != "delivered"}


def _is_of(event_type: str, pattern: str) -> bool:
    return event_type.startswith(pattern[:-1]) if pattern.endswith("*") else event_type == pattern


def _payments(change: Change, kind: str, params: PaymentList) -> list[Object]:
    return [item for item in change.all(kind) if _equal(item, params, "customer", "payment_intent", "charge")]


def _equal(item: Object, params: ListParams, *fields: str) -> bool:
    return all(getattr(params, field) in (None, item.get(field)) for field in fields)
