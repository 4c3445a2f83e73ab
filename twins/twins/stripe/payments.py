"""Payment intents and their charges: a card answers at once, a bank debit later."""

from twins.stripe import refunds
from twins.stripe.account import Change, Object
from twins.stripe.cards import Refusal, means_behind
from twins.stripe.ids import new_id

# How long a bank debit takes by the account's clock. (At Stripe test mode: minutes, live: days.)
DEBIT_SETTLES_AFTER_SECONDS = 3 * 24 * 3600


def new_intent(
    change: Change, *, amount: int, currency: str, customer: str | None, metadata: Object, description: str | None
) -> Object:
    intent_id = new_id("pi")
    intent = {
        "id": intent_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": 0,
        "application": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{intent_id}_secret_{new_id('x')[2:]}",
        "confirmation_method": "automatic",
        "created": change.now,
        "currency": currency,
        "customer": customer,
        "description": description,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": metadata,
        "next_action": None,
        "payment_method": None,
        "payment_method_types": ["card", "sepa_debit"],
        "processing": None,
        "receipt_email": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": None,
        "status": "requires_payment_method",
    }
    change.put(intent)
    change.emit("payment_intent.created", intent)
    return intent


def confirm(change: Change, intent_id: str, method: Object, *, refusal: Refusal | None) -> Object:
    """Charge a payment method. The intent it returns is `succeeded`, `processing` or `requires_payment_method`."""
    means = means_behind(method)
    if means.kind == "sepa_debit":
        return _await_debit(change, intent_id, method)
    if refusal is not None:
        return _refuse(change, intent_id, _charge(change, intent_id, method, status="failed", refusal=refusal), refusal)
    charge = _charge(change, intent_id, method, status="succeeded")
    intent = _succeed(change, intent_id, charge)
    if means.dispute:
        refunds.open_dispute(change, charge["id"], reason=means.dispute)
    return intent


def settle(change: Change, intent_id: str, *, succeeds: bool | None = None) -> Object:
    """End the wait for a bank debit, as its account number says unless told otherwise."""
    intent = change.get(intent_id)
    charge = change.get(intent["latest_charge"])
    refusal = means_behind(change.get(intent["payment_method"])).refusal
    if succeeds if succeeds is not None else refusal is None:
        captured = {"captured": True, "amount_captured": charge["amount"]}
        charge = change.update(charge["id"], status="succeeded", paid=True, **captured)
        return _succeed(change, intent_id, charge)
    refusal = refusal or Refusal("The customer's bank returned the debit.", "debit_not_authorized")
    charge = change.update(
        charge["id"], status="failed", paid=False, failure_code=refusal.code, failure_message=refusal.message
    )
    return _refuse(change, intent_id, charge, refusal)


def _succeed(change: Change, intent_id: str, charge: Object) -> Object:
    change.emit("charge.succeeded", charge)
    intent = change.update(
        intent_id,
        status="succeeded",
        amount_received=charge["amount"],
        latest_charge=charge["id"],
        payment_method=charge["payment_method"],
        last_payment_error=None,
        _settles_at=None,
    )
    change.emit("payment_intent.succeeded", intent)
    return intent


def _refuse(change: Change, intent_id: str, charge: Object, refusal: Refusal) -> Object:
    change.emit("charge.failed", charge)
    last_error = {
        "charge": charge["id"],
        "code": refusal.code,
        "decline_code": refusal.decline_code,
        "message": refusal.message,
        "type": "card_error",
    }
    intent = change.update(
        intent_id,
        status="requires_payment_method",
        latest_charge=charge["id"],
        payment_method=None,
        last_payment_error=last_error,
        _settles_at=None,
    )
    change.emit("payment_intent.payment_failed", intent)
    return intent


def _await_debit(change: Change, intent_id: str, method: Object) -> Object:
    charge = _charge(change, intent_id, method, status="pending")
    change.emit("charge.pending", charge)
    intent = change.update(
        intent_id,
        status="processing",
        latest_charge=charge["id"],
        payment_method=method["id"],
        _settles_at=change.now + DEBIT_SETTLES_AFTER_SECONDS,
    )
    change.emit("payment_intent.processing", intent)
    return intent


def _charge(change: Change, intent_id: str, method: Object, *, status: str, refusal: Refusal | None = None) -> Object:
    intent = change.get(intent_id)
    paid = status == "succeeded"
    return change.put(
        {
            "id": new_id("ch"),
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": intent["amount"] if paid else 0,
            "amount_refunded": 0,
            "application": None,
            "application_fee": None,
            "application_fee_amount": None,
            "balance_transaction": new_id("txn") if paid else None,
            "billing_details": method["billing_details"],
            "captured": paid,
            "created": change.now,
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_code": refusal.code if refusal else None,
            "failure_message": refusal.message if refusal else None,
            "fraud_details": {},
            "livemode": False,
            "metadata": intent["metadata"],
            "outcome": _outcome(refusal),
            "paid": paid or status == "pending",
            "payment_intent": intent_id,
            "payment_method": method["id"],
            "payment_method_details": {method["type"]: method[method["type"]], "type": method["type"]},
            "receipt_email": None,
            "receipt_number": None,
            "receipt_url": None,
            "refunded": False,
            "shipping": None,
            "statement_descriptor": None,
            "status": status,
        }
    )


def _outcome(refusal: Refusal | None) -> Object:
    return {
        "network_status": "declined_by_network" if refusal else "approved_by_network",
        "reason": refusal.decline_code if refusal else None,
        "risk_level": "normal",
        "seller_message": "The bank did not return any further details." if refusal else "Payment complete.",
        "type": "issuer_declined" if refusal else "authorized",
    }
