"""The refund matrix: what is paid for each way an item can end.

Published with the prices. Only a delivered item is ever captured; the rule says what becomes of the rest, and a job's
receipt names the rule of each of its items. A batch has no rule of its own: each item is settled by its own.
"""

from dataclasses import dataclass
from typing import Literal

from shared.events.generation import ItemResult
from shared.failures import FailureClass


@dataclass(frozen=True, slots=True)
class RefundRule:
    """What becomes of the credits held for an item, and who bears a provider's cost if there is one."""

    outcome: FailureClass | Literal["delivered"]
    credits: Literal["captured", "released"]
    borne_by: Literal["customer", "nobody", "platform"]
    explanation: str


DELIVERED, FALLBACK = "delivered", "delivered_by_fallback"
BEFORE_START, AFTER_START = "before_start", "after_start"

REFUNDS: dict[str, RefundRule] = {
    DELIVERED: RefundRule(
        "delivered",
        "captured",
        "customer",
        "The item was delivered, also when the rest of its batch was not, or when you cancelled after it was sent.",
    ),
    FALLBACK: RefundRule(
        "delivered", "released", "nobody", "The model was unavailable and a free stand-in was delivered."
    ),
    "input_moderated": RefundRule(
        FailureClass.INPUT_MODERATED,
        "released",
        "nobody",
        "The provider refused the prompt before work began. Change it and ask again.",
    ),
    "output_moderated": RefundRule(
        FailureClass.OUTPUT_MODERATED,
        "released",
        "platform",
        "The provider made a result and withheld it. You do not pay for what you cannot see.",
    ),
    "provider_fault": RefundRule(
        FailureClass.PROVIDER_FAULT,
        "released",
        "platform",
        "The provider failed on every attempt. What the attempts cost is not passed on.",
    ),
    "provider_rejected": RefundRule(
        FailureClass.PROVIDER_REJECTED,
        "released",
        "nobody",
        "The provider refused the request. Nothing was made. The credits return when the job ends.",
    ),
    "rate_limited": RefundRule(
        FailureClass.RATE_LIMITED,
        "released",
        "nobody",
        "The provider had no room until the time was over. Nothing was made. The credits return when the job ends.",
    ),
    "outcome_unknown": RefundRule(
        FailureClass.OUTCOME_UNKNOWN,
        "released",
        "platform",
        "The request was sent and never answered, so it is not repeated. The full price is booked as platform loss.",
    ),
    "deadline_before_start": RefundRule(
        FailureClass.DEADLINE, "released", "nobody", "The time was over before the item was sent. Nothing was made."
    ),
    "deadline_after_start": RefundRule(
        FailureClass.DEADLINE,
        "released",
        "platform",
        "The item was sent and not ready in time. If it arrives later it is kept for you, free of charge.",
    ),
    "cancelled": RefundRule(
        FailureClass.CANCELLED,
        "released",
        "nobody",
        "You stopped it before it was sent. Items that were sent and delivered are charged.",
    ),
    "storage_rejected": RefundRule(
        FailureClass.STORAGE_REJECTED,
        "released",
        "platform",
        "The stored file was damaged. What it cost to make is not passed on.",
    ),
    "internal": RefundRule(
        FailureClass.INTERNAL, "released", "platform", "The fault was ours. What the attempts cost is not passed on."
    ),
}


def rule_of(item: ItemResult, *, started: bool) -> str:
    """The name of the rule that an item is settled by; a failure class that is not known counts as our fault."""
    if item.outcome == "delivered":
        return FALLBACK if item.fallback else DELIVERED
    failure = item.failure or item.outcome
    if failure == FailureClass.DEADLINE:
        return f"{failure}_{AFTER_START if started else BEFORE_START}"
    return failure if failure in REFUNDS else FailureClass.INTERNAL.value
