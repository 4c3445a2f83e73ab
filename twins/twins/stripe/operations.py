"""Every call of the API on one screen: its method, path, parameters, and what answers it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twins.stripe import (
    catalogue,
    checkout,
    customers,
    endpoints,
    lists,
    params,
    portal,
    refunds,
    subscriptions,
)
from twins.stripe.account import Change, Object

# Called with the change, the parameters and the ids of the path.
Run = Callable[..., Object]


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    params: type[params.Params]
    run: Run


def _retrieve(kind: str) -> Run:
    def retrieve(change: Change, _params: params.Params, object_id: str) -> Object:
        return change.find(kind, object_id)

    return retrieve


def _get(path: str, run: Run, model: type[params.Params] = params.Params) -> Operation:
    return Operation("GET", path, model, run)


def _post(path: str, run: Run, model: type[params.Params] = params.Params) -> Operation:
    return Operation("POST", path, model, run)


def _delete(path: str, run: Run) -> Operation:
    return Operation("DELETE", path, params.Params, run)


def _account(change: Change, _params: params.Params, **_path: Any) -> Object:
    return {"id": change.account.id, "object": "account", "charges_enabled": True, "country": "US", "livemode": False}


OPERATIONS = (
    _get("/v1/account", _account),
    _get("/v1/products", lists.list_products, params.ProductList),
    _post("/v1/products", catalogue.create_product, params.ProductCreate),
    _get("/v1/products/{id}", _retrieve("product")),
    _get("/v1/prices", lists.list_prices, params.PriceList),
    _post("/v1/prices", catalogue.create_price, params.PriceCreate),
    _get("/v1/prices/{id}", _retrieve("price")),
    _post("/v1/prices/{id}", catalogue.update_price, params.PriceUpdate),
    _get("/v1/customers", lists.list_customers, params.CustomerList),
    _post("/v1/customers", customers.create_customer, params.CustomerCreate),
    _get("/v1/customers/{id}", _retrieve("customer")),
    _post("/v1/customers/{id}", customers.update_customer, params.CustomerUpdate),
    _get("/v1/checkout/sessions", lists.list_sessions, params.SessionList),
    _post("/v1/checkout/sessions", checkout.create_session, params.SessionCreate),
    _get("/v1/checkout/sessions/{id}", _retrieve("checkout.session")),
    _get("/v1/checkout/sessions/{id}/line_items", lists.list_line_items, params.PageParams),
    _post("/v1/checkout/sessions/{id}/expire", checkout.expire_session),
    _post("/v1/billing_portal/sessions", portal.create_portal_session, params.PortalCreate),
    _get("/v1/subscriptions", lists.list_subscriptions, params.SubscriptionList),
    _get("/v1/subscriptions/{id}", _retrieve("subscription")),
    _post("/v1/subscriptions/{id}", subscriptions.update_subscription, params.SubscriptionUpdate),
    _delete("/v1/subscriptions/{id}", subscriptions.cancel_subscription),
    _get("/v1/invoices", lists.list_invoices, params.InvoiceList),
    _get("/v1/invoices/{id}", _retrieve("invoice")),
    _get("/v1/invoices/{id}/lines", lists.list_invoice_lines, params.PageParams),
    _post("/v1/invoices/{id}/pay", subscriptions.pay_invoice),
    _get("/v1/invoice_payments", lists.list_invoice_payments, params.InvoicePaymentList),
    _get("/v1/invoice_payments/{id}", _retrieve("invoice_payment")),
    _get("/v1/payment_intents", lists.list_payment_intents, params.PaymentList),
    _get("/v1/payment_intents/{id}", _retrieve("payment_intent")),
    _get("/v1/payment_methods/{id}", _retrieve("payment_method")),
    _get("/v1/charges", lists.list_charges, params.PaymentList),
    _get("/v1/charges/{id}", _retrieve("charge")),
    _get("/v1/refunds", lists.list_refunds, params.PaymentList),
    _post("/v1/refunds", refunds.create_refund, params.RefundCreate),
    _get("/v1/refunds/{id}", _retrieve("refund")),
    _get("/v1/disputes", lists.list_disputes, params.PaymentList),
    _get("/v1/disputes/{id}", _retrieve("dispute")),
    _post("/v1/disputes/{id}/close", refunds.concede_dispute),
    _get("/v1/events", lists.list_events, params.EventList),
    _get("/v1/events/{id}", _retrieve("event")),
    _get("/v1/webhook_endpoints", lists.list_endpoints, params.ListParams),
    _post("/v1/webhook_endpoints", endpoints.create_endpoint, params.EndpointCreate),
    _get("/v1/webhook_endpoints/{id}", _retrieve("webhook_endpoint")),
    _post("/v1/webhook_endpoints/{id}", endpoints.update_endpoint, params.EndpointUpdate),
    _delete("/v1/webhook_endpoints/{id}", endpoints.delete_endpoint),
)
