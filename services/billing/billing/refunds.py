"""The refund matrix: who pays for an item that was not delivered, per failure class (C-04).

Published with the prices. Only a delivered item is ever captured; the rule says what becomes of the rest.
"""

from dataclasses import dataclass
from typing import Literal

from shared.failures import FailureClass


@dataclass(frozen=True, slots=True)
class RefundRule:
    """What becomes of the credits held for a failed item, and who bears a provider's cost if there is one."""

    credits: Literal["released"]
    borne_by: Literal["nobody", "platform"]
    explanation: str


_NOT_MADE = RefundRule("released", "nobody", "Nothing was made. The credits return when the job ends.")

REFUNDS: dict[FailureClass, RefundRule] = {
    FailureClass.INPUT_MODERATED: RefundRule(
        "released", "nobody", "The provider refused the prompt before work began. Change it and ask again."
    ),
    FailureClass.OUTPUT_MODERATED: RefundRule(
        "released", "platform", "The provider made a result and withheld it. You do not pay for what you cannot see."
    ),
    FailureClass.PROVIDER_FAULT: RefundRule(
        "released", "platform", "The provider failed on every attempt. What the attempts cost is not passed on."
    ),
    FailureClass.PROVIDER_REJECTED: _NOT_MADE,
    FailureClass.RATE_LIMITED: _NOT_MADE,
    FailureClass.OUTCOME_UNKNOWN: RefundRule(
        "released",
        "platform",
        "The request was sent and never answered, so it is not repeated. The full price is booked as platform loss.",
    ),
    FailureClass.DEADLINE: RefundRule(
        "released",
        "platform",
        "The item was not ready in time. If it arrives later it is kept for you, free of charge.",
    ),
    FailureClass.CANCELLED: RefundRule(
        "released", "nobody", "You stopped it before it was sent. Items that were sent and delivered are charged."
    ),
    FailureClass.STORAGE_REJECTED: RefundRule(
        "released", "platform", "The stored file was damaged. What it cost to make is not passed on."
    ),
    FailureClass.INTERNAL: RefundRule(
        "released", "platform", "The fault was ours. What the attempts cost is not passed on."
    ),
}
