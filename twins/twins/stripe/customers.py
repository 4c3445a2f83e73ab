"""Customers, and the payment method they pay with when nobody is there."""

from twins.stripe.account import Change, Object
from twins.stripe.ids import new_id
from twins.stripe.params import CustomerCreate, CustomerUpdate


def create_customer(change: Change, params: CustomerCreate) -> Object:
    customer: Object = {
        "id": new_id("cus", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": change.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": params.description,
        "discount": None,
        "email": params.email,
        "invoice_prefix": new_id("x", 8)[2:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": params.metadata,
        "name": params.name,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    change.put(customer)
    change.emit("customer.created", customer)
    return customer


def update_customer(change: Change, params: CustomerUpdate, customer_id: str) -> Object:
    before = change.find("customer", customer_id)
    fields = params.model_dump(include=params.model_fields_set - {"expand", "metadata"})
    return _changed(change, before, **fields, metadata=before["metadata"] | (params.metadata or {}))


def pay_with(change: Change, customer_id: str, method: Object) -> Object:
    """From now on this payment method is charged for renewals."""
    customer = change.get(customer_id)
    settings = customer["invoice_settings"] | {"default_payment_method": method["id"]}
    return _changed(change, customer, invoice_settings=settings)


def _changed(change: Change, before: Object, **fields: object) -> Object:
    customer = change.update(before["id"], **fields)
    change.emit("customer.updated", customer, previous=before)
    return customer
