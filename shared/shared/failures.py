"""Why an item or a job ended without a picture. Events carry these as open strings: readers accept unknown ones."""

from enum import StrEnum


class FailureClass(StrEnum):
    """Each class has one refund rule, published with the prices."""

    INPUT_MODERATED = "input_moderated"  # the provider refused the prompt
    OUTPUT_MODERATED = "output_moderated"  # the provider withheld its own result
    PROVIDER_FAULT = "provider_fault"  # 5xx, garbage, wrong size, after all attempts
    PROVIDER_REJECTED = "provider_rejected"  # 4xx: our request or our account is at fault
    RATE_LIMITED = "rate_limited"  # 429 until the deadline or the last attempt
    OUTCOME_UNKNOWN = "outcome_unknown"  # sent, no answer, and the provider has no look-up
    DEADLINE = "deadline"  # not finished in time
    CANCELLED = "cancelled"  # the customer stopped it before it was submitted
    STORAGE_REJECTED = "storage_rejected"  # the stored bytes are not what was announced
    INTERNAL = "internal"  # our own fault
