"""Refunds and disputes: money that goes back after it was paid."""

from typing import Literal

from twins.stripe import errors
from twins.stripe.account import Change, Object
from twins.stripe.ids import new_id
from twins.stripe.params import Params, RefundCreate

EVIDENCE_DUE_SECONDS = 9 * 24 * 3600


def create_refund(change: Change, params: RefundCreate) -> Object:
    charge = _charge_to_refund(change, params)
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise errors.invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    amount = params.amount or left
    if amount > left:
        asked, rest = _money(amount, charge), _money(left, charge)
        message = f"Refund amount ({asked}) is greater than unrefunded amount on charge ({rest})"
        raise errors.invalid(message, param="amount")
    refund = {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": new_id("txn"),
        "charge": charge["id"],
        "created": change.now,
        "currency": charge["currency"],
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "failure_reason": None,
        "metadata": params.metadata,
        "payment_intent": charge["payment_intent"],
        "reason": params.reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    change.put(refund)
    change.emit("refund.created", refund)
    _refund_charge(change, charge, amount, "charge.refunded")
    return refund


def fail_refund(change: Change, refund_id: str) -> Object:
    """The customer's bank sends the money back: the charge counts as paid again."""
    before = change.find("refund", refund_id)
    if before["status"] != "succeeded":
        raise errors.invalid(f"This refund is {before['status']}.")
    refund = change.update(refund_id, status="failed", failure_reason="lost_or_stolen_card")
    change.emit("refund.failed", refund)
    change.emit("refund.updated", refund, previous=before)
    _refund_charge(change, change.get(refund["charge"]), -refund["amount"], "charge.updated")
    return refund


def open_dispute(
    change: Change, charge_id: str, *, reason: str, amount: int | None = None, inquiry: bool = False
) -> Object:
    """The cardholder's bank takes the money until the dispute is decided; before that it may only inquire."""
    charge = change.find("charge", charge_id)
    if charge["disputed"] or charge["status"] != "succeeded":
        raise errors.invalid(f"Charge {charge_id} cannot be disputed.")
    dispute = {
        "id": new_id("du"),
        "object": "dispute",
        "amount": amount or charge["amount"],
        "balance_transactions": [],
        "charge": charge_id,
        "created": change.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": change.now + EVIDENCE_DUE_SECONDS,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {"card": {"brand": "visa", "network_reason_code": "10.4"}, "type": "card"},
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
    change.put(dispute)
    change.update(charge_id, disputed=True)
    change.emit("charge.dispute.created", dispute)
    if not inquiry:
        change.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def escalate_inquiry(change: Change, dispute_id: str) -> Object:
    """The bank was not convinced: its inquiry becomes a dispute."""
    before = change.find("dispute", dispute_id)
    if not before["status"].startswith("warning_"):
        raise errors.invalid("This dispute is no inquiry.")
    dispute = change.update(dispute_id, status="needs_response")
    change.emit("charge.dispute.updated", dispute, previous=before)
    change.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def decide_dispute(change: Change, dispute_id: str, *, outcome: Literal["won", "lost"]) -> Object:
    """The bank decides. A dispute that is won brings the money back."""
    before = change.find("dispute", dispute_id)
    if before["status"] in {"won", "lost"}:
        raise errors.invalid("This dispute is already closed.")
    dispute = change.update(dispute_id, status=outcome)
    change.emit("charge.dispute.closed", dispute)
    if outcome == "won":
        change.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


def concede_dispute(change: Change, _params: Params, dispute_id: str) -> Object:
    """The merchant closes a dispute: it is lost."""
    return decide_dispute(change, dispute_id, outcome="lost")


def _charge_to_refund(change: Change, params: RefundCreate) -> Object:
    if params.charge:
        charge = change.find("charge", params.charge, param="charge")
    elif params.payment_intent:
        intent = change.find("payment_intent", params.payment_intent, param="payment_intent")
        if intent["status"] != "succeeded":
            raise errors.invalid(f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")
        charge = change.get(intent["latest_charge"])
    else:
        message = "One of the following params should be provided for this request: payment_intent or charge."
        raise errors.invalid(message)
    if charge["status"] != "succeeded":
        raise errors.invalid(f"Charge {charge['id']} cannot be refunded: it is {charge['status']}.")
    if any(d["charge"] == charge["id"] and d["status"] != "won" for d in change.all("dispute")):
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise errors.invalid(message, code="charge_disputed")
    return charge


def _refund_charge(change: Change, before: Object, amount: int, event: str) -> None:
    refunded = before["amount_refunded"] + amount
    charge = change.update(before["id"], amount_refunded=refunded, refunded=refunded == before["amount"])
    change.emit(event, charge, previous=before)


def _money(amount: int, charge: Object) -> str:
    return f"{amount / 100:.2f} {charge['currency']}"
