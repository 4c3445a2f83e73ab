"""What customers are told of a failure: one sentence of ours per class.

The words of a provider name our organisation and may repeat a prompt, so they stay in the ``attempts`` table. Its id of
the request goes out: with that, support there and here finds the rest.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Row

from shared.failures import FailureClass

SENTENCES: Mapping[str, str] = {
    FailureClass.INPUT_MODERATED: "The model declined the prompt.",
    FailureClass.OUTPUT_MODERATED: "The model withheld its own result.",
    FailureClass.PROVIDER_FAULT: "The provider of the model could not make it.",
    FailureClass.PROVIDER_REJECTED: "The provider of the model refused our request.",
    FailureClass.RATE_LIMITED: "The provider of the model asked for patience.",
    FailureClass.OUTCOME_UNKNOWN: "The provider of the model never answered; what became of the request is not known.",
    FailureClass.DEADLINE: "It was not finished by the deadline of the job.",
    FailureClass.CANCELLED: "It was cancelled before it was begun.",
    FailureClass.STORAGE_REJECTED: "What arrived in storage is not what was made.",
    FailureClass.INTERNAL: "Something went wrong on our side.",
}


def sentence(failure: str, calls: Iterable[Row[Any]] = ()) -> str:
    """Why an item failed, and in which of its ``calls`` to the provider, the last of that class."""
    requests = [call.provider_request_id for call in calls if call.failure == failure and call.provider_request_id]
    return f"{SENTENCES[failure]} Its request id is {requests[-1]}." if requests else SENTENCES[failure]
