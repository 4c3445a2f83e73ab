"""Subscriptions: begun by Checkout, renewed by the clock, ended by the customer or by a card that keeps failing."""

from twins.stripe import errors, invoices
from twins.stripe.account import Change, Object
from twins.stripe.ids import new_id
from twins.stripe.params import Params, SubscriptionUpdate
from twins.stripe.periods import period_start

ENDED = frozenset({"canceled", "incomplete_expired"})


def begin(
    change: Change, *, customer: str, price: Object, quantity: int, method: Object, metadata: Object, intent: Object
) -> Object:
    """A subscription whose first payment is under way or done. Returns it with its first invoice as latest."""
    subscription_id = new_id("sub")
    item: Object = {
        "id": new_id("si", 14),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": change.now,
        "current_period_end": period_start(change.now, price["recurring"], 1),
        "current_period_start": change.now,
        "discounts": [],
        "metadata": {},
        "price": price,
        "quantity": quantity,
        "subscription": subscription_id,
        "tax_rates": [],
    }
    subscription = {
        "id": subscription_id,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": change.now,
        "billing_mode": {"type": "flexible"},
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": change.now,
        "currency": price["currency"],
        "customer": customer,
        "days_until_due": None,
        "default_payment_method": method["id"],
        "default_source": None,
        "description": None,
        "discounts": [],
        "ended_at": None,
        "items": {
            "object": "list",
            "data": [item],
            "has_more": False,
            "url": f"/v1/subscription_items?subscription={subscription_id}",
        },
        "latest_invoice": None,
        "livemode": False,
        "metadata": metadata,
        "next_pending_invoice_item_invoice": None,
        "pause_collection": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": change.now,
        "status": "active",
        "test_clock": None,
        "trial_end": None,
        "trial_start": None,
        "_period": 0,
        "_prorations": [],
    }
    change.put(subscription)
    invoice = invoices.issue(change, subscription, reason="subscription_create", intent=intent)
    subscription = change.update(subscription_id, latest_invoice=invoice["id"])
    change.emit("customer.subscription.created", subscription)
    invoices.after_payment(change, invoice["id"])
    return subscription


def renew(change: Change, subscription_id: str) -> None:
    """The period is over: end as the customer wished, or begin the next one with an invoice."""
    subscription = change.get(subscription_id)
    if subscription["cancel_at_period_end"]:
        end(change, subscription_id, reason="cancellation_requested")
        return
    period = subscription["_period"] + 1
    anchor = subscription["billing_cycle_anchor"]
    item = subscription["items"]["data"][0]
    recurring = item["price"]["recurring"]
    item = item | {
        "current_period_start": period_start(anchor, recurring, period),
        "current_period_end": period_start(anchor, recurring, period + 1),
    }
    renewed = change.update(subscription_id, items=subscription["items"] | {"data": [item]}, _period=period)
    invoice = invoices.issue(change, renewed, reason="subscription_cycle")
    renewed = change.update(subscription_id, latest_invoice=invoice["id"], _prorations=[])
    change.emit("customer.subscription.updated", renewed, previous=subscription)
    collect(change, invoice["id"])


def collect(change: Change, invoice_id: str) -> Object:
    """Charge what the subscription is paid with; the subscription follows the outcome."""
    subscription = change.get(change.get(invoice_id)["_subscription"])
    customer = change.get(subscription["customer"])
    method_id = subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    invoice = invoices.collect(change, invoice_id, change.get(method_id) if method_id else None)
    follow(change, invoice)
    return invoice


def follow(change: Change, invoice: Object) -> None:
    """Bring the subscription's status in line with its invoice."""
    subscription = change.get(invoice["_subscription"])
    if subscription["status"] in ENDED:
        return
    if invoice["status"] == "paid":
        _become(change, subscription, status="active")
    elif change.get(invoice["_intent"])["status"] == "processing":
        return
    elif invoice["next_payment_attempt"] is None:
        end(change, subscription["id"], reason="payment_failed")
    else:
        _become(change, subscription, status="past_due")


def end(change: Change, subscription_id: str, *, reason: str) -> Object:
    before = change.get(subscription_id)
    ended = change.update(
        subscription_id,
        status="canceled",
        ended_at=change.now,
        canceled_at=before["canceled_at"] or change.now,
        cancellation_details=before["cancellation_details"] | {"reason": reason},
    )
    change.emit("customer.subscription.deleted", ended)
    return ended


def cancel_subscription(change: Change, _params: Params, subscription_id: str) -> Object:
    """End a subscription at once."""
    subscription = change.find("subscription", subscription_id)
    if subscription["status"] in ENDED:
        raise errors.no_such("subscription", subscription_id)
    return end(change, subscription_id, reason="cancellation_requested")


def update_subscription(change: Change, params: SubscriptionUpdate, subscription_id: str) -> Object:
    before = change.find("subscription", subscription_id)
    if before["status"] in ENDED:
        raise errors.invalid("A canceled subscription can only update its cancellation_details and metadata.")
    fields: Object = {"metadata": before["metadata"] | (params.metadata or {})}
    if params.cancel_at_period_end is not None:
        fields |= _cancellation(change, before, wished=params.cancel_at_period_end)
    if params.default_payment_method:
        method = change.find("payment_method", params.default_payment_method, param="default_payment_method")
        fields["default_payment_method"] = method["id"]
    if params.items:
        fields["items"] = _with_price(change, before, params)
        if params.proration_behavior == "create_prorations":
            fields["_prorations"] = _prorations(change, before, fields["items"])
    subscription = change.update(subscription_id, **fields)
    change.emit("customer.subscription.updated", subscription, previous=before)
    return subscription


def pay_invoice(change: Change, _params: Params, invoice_id: str) -> Object:
    """Try to be paid now. Raises StripeError 402, with the failed attempt on file."""
    invoices.payable(change, invoice_id)
    invoice = collect(change, invoice_id)
    failure = change.get(invoice["_intent"])["last_payment_error"]
    if failure is not None:
        raise errors.card_declined(
            failure["message"], code=failure["code"], decline_code=failure["decline_code"], charge=failure["charge"]
        )
    return invoice


def _become(change: Change, before: Object, *, status: str) -> None:
    if before["status"] == status:
        return
    change.emit("customer.subscription.updated", change.update(before["id"], status=status), previous=before)


def _cancellation(change: Change, before: Object, *, wished: bool) -> Object:
    end_of_period = before["items"]["data"][0]["current_period_end"]
    reason = "cancellation_requested" if wished else None
    return {
        "cancel_at_period_end": wished,
        "cancel_at": end_of_period if wished else None,
        "canceled_at": change.now if wished else None,
        "cancellation_details": before["cancellation_details"] | {"reason": reason},
    }


def _with_price(change: Change, before: Object, params: SubscriptionUpdate) -> Object:
    """The other price counts from the next invoice on."""
    wanted = params.items[0]
    item = before["items"]["data"][0]
    if wanted.id != item["id"]:
        raise errors.no_such("subscription item", wanted.id, param="items[0][id]")
    price = change.find("price", wanted.price, param="items[0][price]")
    if price["recurring"] != item["price"]["recurring"]:
        raise errors.invalid("The twin changes to a price of the same interval only.", param="items[0][price]")
    items: Object = before["items"] | {"data": [item | {"price": price}]}
    return items


def _prorations(change: Change, before: Object, items: Object) -> list[Object]:
    """What the rest of the period is worth at the old price, back, and at the new one; on the next invoice."""
    old, new = before["items"]["data"][0], items["data"][0]
    whole = old["current_period_end"] - old["current_period_start"]
    left = old["current_period_end"] - change.now
    period = {"start": change.now, "end": old["current_period_end"]}
    parts = []
    for sign, item in ((-1, old), (1, new)):
        amount = sign * item["price"]["unit_amount"] * item["quantity"] * left // whole
        parts.append({"item": item, "period": period, "amount": amount})
    return [*before["_prorations"], *parts]
