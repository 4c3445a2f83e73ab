"""What the page says: one title and one sentence per event, and plain words for every status and failure class.

Statuses, failure classes and events are open lists; an unknown one is shown by its own name.
"""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.web.formats import count, credit_amount, credit_sum, file_size
from shared.failures import FailureClass

Data = Mapping[str, Any]

STATUSES = {
    "queued": "Waiting",
    "running": "Making",
    "succeeded": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "refused": "Refused",
}

FAILURES: Mapping[str, str] = {
    FailureClass.INPUT_MODERATED: "The model declined this description. Word it differently; nothing was charged.",
    FailureClass.OUTPUT_MODERATED: "The model withheld its own result. Try other words; nothing was charged.",
    FailureClass.PROVIDER_FAULT: "The model could not make it, after several attempts. Nothing was charged.",
    FailureClass.PROVIDER_REJECTED: "The model refused our request. That is ours to mend; nothing was charged.",
    FailureClass.RATE_LIMITED: "The model was too busy until time ran out. Nothing was charged; try again later.",
    FailureClass.OUTCOME_UNKNOWN: "The model never answered. We do not ask twice blindly; nothing was charged.",
    FailureClass.DEADLINE: "It was not finished in time. Nothing was charged.",
    FailureClass.CANCELLED: "You cancelled it before it was begun. Nothing was charged.",
    FailureClass.STORAGE_REJECTED: "The picture was damaged on its way to storage. Nothing was charged.",
    FailureClass.INTERNAL: "Something went wrong on our side. Nothing was charged.",
    "insufficient_credits": "There were not enough credits for it.",
    "balance_negative": "The balance was below zero, after a refund or a dispute. Buy credits, then ask again.",
    "unknown_quote": "The quote it cited does not exist. Ask for a new one.",
    "quote_expired": "The quote it cited was no longer good. Ask for a new one.",
    "quote_mismatch": "The quote it cited was for something else. Ask for a new one.",
    "price_mismatch": "The price changed between asking and paying. Ask again.",
    "unknown_price": "There is no price for this request.",
    # spend_cap_reached is told by its detail, which names the cap
}

GRANTS = {
    "funding.purchase": "Credits bought",
    "funding.plan": "Credits of your plan",
    "funding.bonus": "A gift of the house",
    "funding.refund": "Given back",
    "funding.adjustment": "Corrected by hand",
}
MOVEMENTS = {
    "hold": "Set aside for a job",
    "expire": "Expired",
    "clawback": "Taken back after a refund or dispute",
    "adjust": "Corrected by hand",
}
PLAN_STATES = {
    "past_due": "The last payment failed. Change your card to keep the plan.",
    "unpaid": "The last payments failed. Change your card to go on.",
    "incomplete": "The first payment is not through yet.",
    "paused": "The plan is paused.",
}


def failure_sentence(failure: str | None, detail: str | None = None) -> str:
    """Why something ended without a picture."""
    if failure is None:
        return detail or "It ended without a picture."
    return FAILURES.get(failure) or detail or humanized(failure)


def shortage(*, needed: int, available: int) -> str:
    """The numbers of a purse that is too light."""
    return f"{credit_sum(needed)} needed, {credit_amount(available)} available."


def movement_title(kind: str, entries: Mapping[str, int]) -> str:
    """What a movement of credits was; ``entries`` are its sums by ledger account."""
    if kind == "grant":
        return next((title for account, title in GRANTS.items() if account in entries), "Credits given")
    if kind == "settle":
        earned = entries.get("platform.earned", 0) - max(-entries.get("platform.loss", 0), 0)
        return f"{credit_sum(earned)} paid for a job" if earned > 0 else "A job, nothing charged"
    return MOVEMENTS.get(kind) or humanized(kind)


def humanized(name: str) -> str:
    """``outcome_unknown`` -> ``Outcome unknown``."""
    return name.replace("-", " ").replace("_", " ").capitalize()


def event_title(name: str) -> str:
    """A short title for an event, by the kebab-case name in its type."""
    known = EVENTS.get(name)
    return known[0] if known else humanized(name)


def event_sentence(name: str, data: Data) -> str:
    """What the event says, with its numbers; empty for an event that this page does not know."""
    known = EVENTS.get(name)
    return known[1](data) if known else ""


def _picture(data: Data) -> str:
    item = data.get("item")
    return f"Picture {item + 1}" if isinstance(item, int) else "The picture"


def _requested(data: Data) -> str:
    return f"{count(data.get('items', 1), 'picture')} asked for; {credit_sum(data.get('price', 0))} to hold."


def _held(data: Data) -> str:
    return f"{credit_sum(data.get('amount', 0))} set aside, {credit_amount(data.get('available', 0))} left to spend."


def _refused(data: Data) -> str:
    if data.get("code") == "insufficient_credits":
        return shortage(needed=data.get("needed", 0), available=data.get("available", 0))
    return FAILURES.get(str(data.get("code"))) or str(data.get("detail", ""))


def _overdue(data: Data) -> str:
    return f"{credit_sum(data.get('amount', 0))} still held after the deadline; an end is demanded."


def _settled(data: Data) -> str:
    captured, released = data.get("captured", 0), data.get("released", 0)
    sentence = f"{credit_sum(captured)} paid, {credit_amount(released)} given back."
    if loss := data.get("loss", 0):
        sentence += f" {credit_sum(loss)} borne by the platform."
    return sentence


def _produced(data: Data) -> str:
    model = (data.get("recipe") or {}).get("model")
    maker = " without a model, free of charge" if data.get("fallback") else f" by {model}" if model else ""
    late = " It came after the end and is free." if data.get("late") else ""
    return f"{_picture(data)} made{maker}; {file_size(data.get('size', 0))}.{late}"


def _stored(data: Data) -> str:
    return f"{_picture(data)} is kept, {data.get('width')} \N{MULTIPLICATION SIGN} {data.get('height')} pixels."


def _rejected(data: Data) -> str:
    return f"{_picture(data)} was not kept: {data.get('detail', data.get('code', ''))}"


def _ended(data: Data) -> str:
    items = data.get("items") or ()
    delivered = sum(item.get("outcome") == "delivered" for item in items)
    return f"{delivered} of {count(len(items), 'picture')} delivered."


def _failed(data: Data) -> str:
    return failure_sentence(data.get("failure"), data.get("detail"))


def _sent(data: Data) -> str:
    return f"The receiver answered {data.get('status_code')} at attempt {data.get('attempts')}."


def _not_sent(data: Data) -> str:
    return f"Given up after {count(data.get('attempts', 0), 'attempt')}: {data.get('detail', '')}"


EVENTS: Mapping[str, tuple[str, Callable[[Data], str]]] = {
    "job-requested": ("Request accepted", _requested),
    "job-cancel-requested": ("Cancel asked for", lambda _: "What was not begun will not be."),
    "credits-held": ("Credits held", _held),
    "credits-refused": ("Credits refused", _refused),
    "hold-overdue": ("Hold overdue", _overdue),
    "credits-settled": ("Settled", _settled),
    "artifact-produced": ("Picture made", _produced),
    "asset-stored": ("Picture kept", _stored),
    "asset-rejected": ("Picture rejected", _rejected),
    "job-succeeded": ("Job done", _ended),
    "job-failed": ("Job failed", _failed),
    "job-cancelled": ("Job cancelled", _ended),
    "job-refused": ("Job refused", _failed),
    "delivery-succeeded": ("Delivered to webhook", _sent),
    "delivery-failed": ("Delivery failed", _not_sent),
}
