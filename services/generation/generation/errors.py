"""What can go wrong with a provider, in the words that decide what happens next."""

from enum import StrEnum

from shared.failures import FailureClass


class Again(StrEnum):
    """Whether the same call may be made again."""

    NEVER = "never"
    COUNTED = "counted"  # yes, as one of the item's few attempts
    FREE = "free"  # yes, as often as the deadline allows: the provider did nothing but ask for patience


class ProviderError(Exception):
    """A call that gave no usable picture. ``pause_seconds`` keeps every worker from the model for that long."""

    def __init__(
        self,
        failure: FailureClass,
        detail: str,
        *,
        again: Again = Again.NEVER,
        request_id: str | None = None,
        pause_seconds: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.failure = failure
        self.detail = detail
        self.again = again
        self.request_id = request_id
        self.pause_seconds = pause_seconds


def outcome_unknown(detail: str) -> ProviderError:
    """The call was sent and nothing came back: it may have been made and charged."""
    return ProviderError(FailureClass.OUTCOME_UNKNOWN, detail)


def unusable(detail: str, *, request_id: str | None = None) -> ProviderError:
    """The provider answered with something that is not the picture that was asked for."""
    return ProviderError(FailureClass.PROVIDER_FAULT, detail, again=Again.COUNTED, request_id=request_id)
