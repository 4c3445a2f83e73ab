"""What follows when a picture was not made: pure decisions, no database and no clock of its own.

A fault of the provider is repeated a few times, a request for patience as long as the deadline and the item's own
patience allow, anything else never: least of all a call whose outcome is unknown, which may have been made and charged.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from generation.errors import Again, ProviderError
from shared.failures import FailureClass

UNAVAILABLE = frozenset({FailureClass.PROVIDER_FAULT, FailureClass.RATE_LIMITED, FailureClass.PROVIDER_REJECTED})
"""Failures that say nothing about the prompt: the item may be replaced by a fallback."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is tried, from the settings."""

    attempts: int
    retry_delay: timedelta
    patience: timedelta
    headroom: timedelta


@dataclass(frozen=True, slots=True)
class Situation:
    """Where an item stands. ``faults`` counts its earlier attempts that ended so.

    ``resting_since`` is when it first had to wait for a model that rests: now, unless that was earlier.
    """

    now: datetime
    resting_since: datetime
    deadline: datetime
    cancelled: bool
    wants_fallback: bool
    faults: int


@dataclass(frozen=True, slots=True)
class Defer:
    """Try again after ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class FallBack:
    """Make the picture locally."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The item has failed."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The customer wants no further call."""


Decision = Defer | FallBack | GiveUp | Cancel


def before_call(situation: Situation, limits: Limits) -> FallBack | GiveUp | None:
    """What to do instead of a call whose picture would come too late to be charged; None when there is time for one.

    A fallback is there at once and costs nothing, so it has until the deadline itself.
    """
    if situation.now >= situation.deadline:
        return GiveUp()
    if situation.now + limits.headroom < situation.deadline:
        return None
    return FallBack() if situation.wants_fallback else GiveUp()


def after_failure(error: ProviderError, situation: Situation, limits: Limits) -> Decision:
    """What to do once a call has failed."""
    # a call that may have been made is told as such, cancelled or not: the platform books what it may have cost
    if situation.cancelled and error.failure is not FailureClass.OUTCOME_UNKNOWN:
        return Cancel()
    delay = _delay(error, situation, limits)
    if delay is None:
        return _without_the_model(error.failure, situation)
    if error.again is Again.FREE or error.pause_seconds:
        return while_paused(error.failure, situation, situation.now + delay, limits)
    return _by(situation.now + delay, error.failure, situation, limits)


def while_paused(failure: FailureClass, situation: Situation, until: datetime, limits: Limits) -> Decision:
    """What to do while the model takes no calls ``until`` a moment."""
    if situation.wants_fallback and until > situation.resting_since + limits.patience:
        return _without_the_model(failure, situation)
    return _by(until, failure, situation, limits)


def _delay(error: ProviderError, situation: Situation, limits: Limits) -> timedelta | None:
    """How long to wait before the same call may be made again; None when it may not."""
    pause = timedelta(seconds=error.pause_seconds or 0)
    backoff = max(pause, limits.retry_delay * 2**situation.faults)
    match error.again:
        case Again.FREE:
            return pause
        case Again.COUNTED:
            return backoff if situation.faults + 1 < limits.attempts else None
        case Again.NEVER:
            return None


def _by(moment: datetime, failure: FailureClass, situation: Situation, limits: Limits) -> Decision:
    """Wait until a moment if a call can still be answered in time then."""
    if moment + limits.headroom >= situation.deadline:
        return _without_the_model(failure, situation)
    return Defer((moment - situation.now).total_seconds())


def _without_the_model(failure: FailureClass, situation: Situation) -> Decision:
    return FallBack() if situation.wants_fallback and failure in UNAVAILABLE else GiveUp()
