"""Checkout Sessions: what a shop asks for, what a person does on the hosted page, and what follows."""

from typing import Any

from twins.stripe import errors, invoices, payments, subscriptions
from twins.stripe.account import Change, Object
from twins.stripe.cards import means_of, new_method
from twins.stripe.customers import create_customer
from twins.stripe.ids import new_id
from twins.stripe.params import CustomerCreate, Params, SessionCreate

MIN_LIFE_SECONDS = 30 * 60
MAX_LIFE_SECONDS = 24 * 3600


def create_session(change: Change, params: SessionCreate) -> Object:
    lines = [_line(change, position, item.price, item.quantity) for position, item in enumerate(params.line_items)]
    _check(change, params, [line["price"] for line in lines])
    total = sum(line["amount_total"] for line in lines)
    session_id = f"cs_test_{new_id('x', 58)[2:]}"
    customer = change.find("customer", params.customer, param="customer") if params.customer else None
    email = params.customer_email or (customer["email"] if customer else None)
    session = {
        "id": session_id,
        "object": "checkout.session",
        "adaptive_pricing": None,
        "after_expiration": None,
        "allow_promotion_codes": params.allow_promotion_codes,
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": params.automatic_tax.enabled, "liability": None, "status": None},
        "billing_address_collection": params.billing_address_collection,
        "cancel_url": params.cancel_url,
        "client_reference_id": params.client_reference_id,
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": change.now,
        "currency": lines[0]["currency"],
        "custom_fields": [],
        "custom_text": {},
        "customer": params.customer,
        "customer_creation": _customer_creation(params),
        "customer_details": {**_NO_DETAILS, "email": email} if email else None,
        "customer_email": params.customer_email,
        "discounts": [],
        "expires_at": params.expires_at or change.now + MAX_LIFE_SECONDS,
        "invoice": None,
        "invoice_creation": None,
        "livemode": False,
        "locale": params.locale,
        "metadata": params.metadata,
        "mode": params.mode,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "always" if params.mode == "subscription" else "if_required",
        "payment_method_options": {},
        "payment_method_types": params.payment_method_types,
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": params.submit_type,
        "subscription": None,
        "success_url": params.success_url,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": params.ui_mode,
        "url": f"{change.pages_url}/pay/{session_id}",
        "wallet_options": None,
        "_lines": lines,
        "_intent": None,
        "_intent_data": _data_of(params.payment_intent_data),
        "_subscription_data": _data_of(params.subscription_data),
    }
    return change.put(session)


def expire_session(change: Change, _params: Params, session_id: str) -> Object:
    session = change.find("checkout.session", session_id)
    if session["status"] != "open":
        raise errors.invalid(
            'Only Checkout Sessions with a status in ["open"] can be expired. '
            f"This Checkout Session has a status of `{session['status']}`."
        )
    expired = change.update(session_id, status="expired", url=None)
    change.emit("checkout.session.expired", expired)
    return expired


def pay_session(change: Change, session_id: str, *, number: str, email: str) -> Object:
    """What the hosted page does when a person pays. Raises StripeError 402 when the card is declined."""
    session = change.find("checkout.session", session_id)
    if session["status"] != "open":
        raise errors.invalid(f"This Checkout Session is {session['status']}.", code="checkout_session_not_open")
    means = means_of(number)
    if means.kind not in session["payment_method_types"]:
        raise errors.invalid(f"This shop does not take {means.kind}.", code="payment_method_not_available")
    session = _with_customer(change, session, email)
    method = new_method(change, means, customer=session["customer"], email=email)
    intent = payments.confirm(change, _intent(change, session)["id"], method, refusal=means.refusal)
    if intent["status"] == "requires_payment_method":
        assert means.refusal is not None
        raise means.refusal.error(charge=intent["latest_charge"])
    fields: Object = {"payment_intent": intent["id"]}
    if session["mode"] == "subscription":
        fields = _begin_subscription(change, session, method, intent)
    return _complete(change, session, intent, fields)


def settle_payment(change: Change, intent_id: str, *, succeeds: bool | None = None) -> Object:
    """A bank debit has come to its end: tell the invoice, the subscription and the session that wait for it."""
    intent = change.find("payment_intent", intent_id)
    if intent["status"] != "processing":
        raise errors.invalid(f"This PaymentIntent is not processing; it is {intent['status']}.")
    intent = payments.settle(change, intent_id, succeeds=succeeds)
    paid = intent["status"] == "succeeded"
    for invoice in [found for found in change.all("invoice") if found["_intent"] == intent_id]:
        subscriptions.follow(change, invoices.after_payment(change, invoice["id"]))
    for session in [found for found in change.all("checkout.session") if found["_intent"] == intent_id]:
        after = change.update(session["id"], payment_status="paid" if paid else "unpaid")
        change.emit(f"checkout.session.async_payment_{'succeeded' if paid else 'failed'}", after)
    return intent


_NO_DETAILS: dict[str, Any] = {
    "address": None,
    "business_name": None,
    "email": None,
    "individual_name": None,
    "name": None,
    "phone": None,
    "tax_exempt": "none",
    "tax_ids": None,
}


def _check(change: Change, params: SessionCreate, prices: list[Object]) -> None:
    recurring = [price for price in prices if price["type"] == "recurring"]
    if params.mode == "payment" and recurring:
        raise errors.invalid(
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use "
            "only one-time prices.",
            param="line_items",
        )
    if params.mode == "subscription" and len(recurring) != 1 and len(prices) == len(recurring):
        raise errors.invalid("The twin sells one recurring price per session.", param="line_items")
    if params.mode == "subscription" and len(prices) != 1:
        raise errors.invalid("The twin sells nothing beside a subscription in one session.", param="line_items")
    if params.mode == "subscription" and not recurring:
        raise errors.invalid(
            "You must provide at least one recurring price in `subscription` mode when using prices.",
            param="line_items",
        )
    if len({price["currency"] for price in prices}) > 1:
        raise errors.invalid("All line items must have the same currency.", param="line_items")
    if params.customer and params.customer_email:
        raise errors.invalid("You may only specify one of these parameters: customer, customer_email.")
    if params.mode == "payment" and params.subscription_data:
        raise errors.invalid("You can not pass `subscription_data` in `payment` mode.", param="subscription_data")
    if params.mode == "subscription" and params.payment_intent_data:
        raise errors.invalid(
            "You can not pass `payment_intent_data` in `subscription` mode.", param="payment_intent_data"
        )
    _check_expiry(change, params)


def _check_expiry(change: Change, params: SessionCreate) -> None:
    if params.expires_at is None:
        return
    if params.expires_at < change.now + MIN_LIFE_SECONDS:
        message = "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation."
        raise errors.invalid(message, param="expires_at")
    if params.expires_at > change.now + MAX_LIFE_SECONDS:
        message = "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation."
        raise errors.invalid(message, param="expires_at")


def _line(change: Change, position: int, price_id: str, quantity: int) -> Object:
    param = f"line_items[{position}][price]"
    price = change.find("price", price_id, param=param)
    if not price["active"]:
        message = f"The price specified is inactive. This field only accepts active prices: `{price_id}`."
        raise errors.invalid(message, param=param)
    amount = price["unit_amount"] * quantity
    return {
        "id": new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": change.get(price["product"])["name"],
        "metadata": {},
        "price": price,
        "quantity": quantity,
    }


def _customer_creation(params: SessionCreate) -> str | None:
    if params.mode == "subscription":
        return "always"
    return None if params.customer else params.customer_creation or "if_required"


def _data_of(data: Any) -> Object:
    return data.model_dump() if data else {"description": None, "metadata": {}}


def _with_customer(change: Change, session: Object, email: str) -> Object:
    """The session with who pays: the customer it was made for, a new one, or a guest."""
    customer = session["customer"]
    if customer is None and session["customer_creation"] == "always":
        customer = create_customer(change, CustomerCreate(email=email))["id"]
    return change.update(session["id"], customer=customer, customer_details={**_NO_DETAILS, "email": email})


def _intent(change: Change, session: Object) -> Object:
    """The payment intent of the session; a second try after a declined card uses it again."""
    if session["_intent"]:
        return change.get(session["_intent"])
    data = session["_intent_data"]
    intent = payments.new_intent(
        change,
        amount=session["amount_total"],
        currency=session["currency"],
        customer=session["customer"],
        metadata=data["metadata"],
        description=data["description"] or ("Subscription creation" if session["mode"] == "subscription" else None),
    )
    change.update(session["id"], _intent=intent["id"])
    return intent


def _begin_subscription(change: Change, session: Object, method: Object, intent: Object) -> Object:
    line = session["_lines"][0]
    subscription = subscriptions.begin(
        change,
        customer=session["customer"],
        price=line["price"],
        quantity=line["quantity"],
        method=method,
        metadata=session["_subscription_data"]["metadata"],
        intent=intent,
    )
    return {"subscription": subscription["id"], "invoice": subscription["latest_invoice"]}


def _complete(change: Change, session: Object, intent: Object, fields: Object) -> Object:
    paid = intent["status"] == "succeeded"
    status = {"status": "complete", "payment_status": "paid" if paid else "unpaid", "url": None}
    completed = change.update(session["id"], **fields, **status)
    change.emit("checkout.session.completed", completed)
    return completed
