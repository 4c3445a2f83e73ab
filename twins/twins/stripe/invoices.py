"""Invoices of subscriptions: one per period, paid by card or debit, tried again when that fails."""

from twins.stripe import errors, payments
from twins.stripe.account import Change, Object
from twins.stripe.cards import Refusal, means_behind
from twins.stripe.ids import new_id
from twins.stripe.views import first_page

DAY = 24 * 3600
# How long after each failed attempt the next one follows; after the last, the subscription ends.
RETRY_DAYS = (3, 5, 7)


def issue(change: Change, subscription: Object, *, reason: str, intent: Object | None = None) -> Object:
    """An open invoice for the current period, with a payment intent of its own unless one was made before."""
    item = subscription["items"]["data"][0]
    price = item["price"]
    invoice_id = new_id("in")
    period = {"start": item["current_period_start"], "end": item["current_period_end"]}
    lines = [
        *(_line(change, invoice_id, subscription, **part, proration=True) for part in subscription["_prorations"]),
        _line(
            change, invoice_id, subscription, item=item, period=period, amount=price["unit_amount"] * item["quantity"]
        ),
    ]
    amount = sum(line["amount"] for line in lines)
    customer = change.get(subscription["customer"])
    if intent is None:
        intent = payments.new_intent(
            change,
            amount=amount,
            currency=price["currency"],
            customer=customer["id"],
            metadata={},
            description="Subscription update" if reason == "subscription_cycle" else "Subscription creation",
        )
    number = customer["next_invoice_sequence"]
    change.update(customer["id"], next_invoice_sequence=number + 1)
    details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
    invoice = {
        "id": invoice_id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Atelier",
        "amount_due": amount,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": amount,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {"enabled": False, "status": None},
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": change.now,
        "currency": price["currency"],
        "customer": customer["id"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "default_payment_method": None,
        "description": None,
        "discounts": [],
        "due_date": None,
        "ending_balance": 0,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "lines": first_page(f"/v1/invoices/{invoice_id}/lines", lines),
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": f"{customer['invoice_prefix']}-{number:04}",
        "parent": {"quote_details": None, "subscription_details": details, "type": "subscription_details"},
        "period_end": change.now,
        "period_start": _previous_start(change, subscription),
        "starting_balance": 0,
        "status": "open",
        "status_transitions": {
            "finalized_at": change.now,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": amount,
        "total": amount,
        "webhooks_delivered_at": None,
        "_subscription": subscription["id"],
        "_intent": intent["id"],
        "_lines": lines,
    }
    change.put(invoice)
    change.put(_payment(change, invoice, intent))
    change.emit("invoice.created", invoice)
    change.emit("invoice.finalized", invoice)
    return invoice


def collect(change: Change, invoice_id: str, method: Object | None) -> Object:
    """One attempt to be paid while the customer is away. Returns the invoice, paid or open."""
    if method is not None:
        payments.confirm(change, change.get(invoice_id)["_intent"], method, refusal=_refusal(method))
    return after_payment(change, invoice_id)


def after_payment(change: Change, invoice_id: str) -> Object:
    """Draw the consequences of what has become of the invoice's payment intent."""
    invoice = change.get(invoice_id)
    intent = change.get(invoice["_intent"])
    attempts = invoice["attempt_count"] + 1
    if intent["status"] == "processing":
        return change.update(invoice_id, attempted=True, attempt_count=attempts, next_payment_attempt=None)
    if intent["status"] != "succeeded":
        wait = RETRY_DAYS[attempts - 1] * DAY if attempts <= len(RETRY_DAYS) else None
        failed = change.update(
            invoice_id,
            attempted=True,
            attempt_count=attempts,
            next_payment_attempt=change.now + wait if wait else None,
            auto_advance=wait is not None,
        )
        change.emit("invoice.payment_failed", failed)
        return failed
    paid = change.update(
        invoice_id,
        status="paid",
        attempted=True,
        attempt_count=attempts,
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        next_payment_attempt=None,
        auto_advance=False,
        status_transitions=invoice["status_transitions"] | {"paid_at": change.now},
    )
    payment = next(payment for payment in change.all("invoice_payment") if payment["invoice"] == invoice_id)
    transitions = {"canceled_at": None, "paid_at": change.now}
    payment = change.update(
        payment["id"], status="paid", amount_paid=invoice["amount_due"], status_transitions=transitions
    )
    change.emit("invoice_payment.paid", payment)
    change.emit("invoice.paid", paid)
    change.emit("invoice.payment_succeeded", paid)
    return paid


def payable(change: Change, invoice_id: str) -> Object:
    """An invoice that can be paid now. Raises StripeError."""
    invoice = change.find("invoice", invoice_id)
    if invoice["status"] == "paid":
        raise errors.invalid("Invoice is already paid", code="invoice_already_paid")
    if change.get(invoice["_intent"])["status"] == "processing":
        raise errors.invalid("A payment of this invoice is being processed.")
    return invoice


def _refusal(method: Object) -> Refusal | None:
    means = means_behind(method)
    return means.refusal or means.renewal_refusal


def _previous_start(change: Change, subscription: Object) -> int:
    """Start of the period before, if there is one: the invoice of a renewal looks back, its line ahead."""
    before = [invoice for invoice in change.all("invoice") if invoice["_subscription"] == subscription["id"]]
    start: int = before[0]["_lines"][-1]["period"]["start"] if before else subscription["start_date"]
    return start


def _line(
    change: Change,
    invoice_id: str,
    subscription: Object,
    *,
    item: Object,
    period: Object,
    amount: int,
    proration: bool = False,
) -> Object:
    price = item["price"]
    product = change.get(price["product"])
    parent = {
        "invoice_item": None,
        "proration": proration,
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"],
        "subscription_item": item["id"],
    }
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": f"{item['quantity']} x {product['name']} (each {price['recurring']['interval']})",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice_id,
        "livemode": False,
        "metadata": subscription["metadata"],
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": parent,
            "type": "subscription_item_details",
        },
        "period": period,
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": item["quantity"],
        "subtotal": amount,
        "taxes": [],
    }


def _payment(change: Change, invoice: Object, intent: Object) -> Object:
    return {
        "id": new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": invoice["amount_due"],
        "created": change.now,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }
