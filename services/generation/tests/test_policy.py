"""The decisions after a failure, as pure rules."""

from datetime import UTC, datetime, timedelta

import pytest

from generation import policy
from generation.catalogue import Model, catalogue
from generation.errors import Again, ProviderError, outcome_unknown
from generation.policy import Cancel, Defer, FallBack, GiveUp, Limits, Situation
from shared.failures import FailureClass
from shared.prices import price_books

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LIMITS = Limits(
    attempts=3,
    retry_delay=timedelta(seconds=1),
    patience=timedelta(seconds=30),
    headroom=timedelta(seconds=10),
)
MODEL = catalogue()["gpt-image-2"]
FAULT = ProviderError(FailureClass.PROVIDER_FAULT, "500", again=Again.COUNTED)


def situation(**changes: object) -> Situation:
    values: dict = {
        "now": NOW,
        "resting_since": NOW,
        "deadline": NOW + timedelta(seconds=60),
        "cancelled": False,
        "wants_fallback": False,
        "faults": 0,
    }
    return Situation(**(values | changes))


def limited(seconds: float) -> ProviderError:
    return ProviderError(FailureClass.RATE_LIMITED, "429", again=Again.FREE, pause_seconds=seconds)


class TestBeforeACall:
    @pytest.mark.parametrize(
        ("seconds", "wants_fallback", "expected"),
        [
            (30, False, None),
            (11, True, None),
            (10, False, GiveUp()),
            (10, True, FallBack()),
            (1, True, FallBack()),
            (0, True, GiveUp()),
            (-60, False, GiveUp()),
        ],
    )
    def test_it_is_begun_only_with_time_for_an_answer(
        self, seconds: int, wants_fallback: bool, expected: object
    ) -> None:
        left = situation(deadline=NOW + timedelta(seconds=seconds), wants_fallback=wants_fallback)
        assert policy.before_call(left, LIMITS) == expected


class TestFault:
    @pytest.mark.parametrize(("faults", "expected"), [(0, Defer(1.0)), (1, Defer(2.0)), (2, GiveUp())])
    def test_it_is_repeated_with_growing_pauses_until_the_last_attempt(self, faults: int, expected: object) -> None:
        assert policy.after_failure(FAULT, situation(faults=faults), LIMITS) == expected

    def test_it_is_not_repeated_behind_the_deadline(self) -> None:
        soon = situation(deadline=NOW + timedelta(milliseconds=500))
        assert policy.after_failure(FAULT, soon, LIMITS) == GiveUp()

    def test_it_is_not_repeated_when_the_picture_would_come_too_late(self) -> None:
        assert policy.after_failure(FAULT, situation(deadline=NOW + timedelta(seconds=11)), LIMITS) == GiveUp()
        assert policy.after_failure(FAULT, situation(deadline=NOW + timedelta(seconds=12)), LIMITS) == Defer(1.0)

    def test_it_is_not_repeated_for_a_customer_who_cancelled(self) -> None:
        assert policy.after_failure(FAULT, situation(cancelled=True), LIMITS) == Cancel()

    def test_a_customer_who_cancelled_gets_no_fallback_either(self) -> None:
        stopped = situation(faults=2, wants_fallback=True, cancelled=True)
        assert policy.after_failure(FAULT, stopped, LIMITS) == Cancel()

    def test_the_last_one_falls_back_if_that_is_wanted(self) -> None:
        assert policy.after_failure(FAULT, situation(faults=2, wants_fallback=True), LIMITS) == FallBack()


class TestRateLimit:
    def test_no_number_of_them_uses_up_the_attempts(self) -> None:
        assert policy.after_failure(limited(7), situation(faults=2), LIMITS) == Defer(7.0)

    def test_an_item_with_a_fallback_waits_as_long_as_its_patience(self) -> None:
        wanted = situation(wants_fallback=True)
        assert policy.after_failure(limited(29), wanted, LIMITS) == Defer(29.0)
        assert policy.after_failure(limited(31), wanted, LIMITS) == FallBack()

    def test_its_patience_ends_however_short_each_pause_is(self) -> None:
        wanted = situation(wants_fallback=True, resting_since=NOW - timedelta(seconds=30))
        assert policy.after_failure(limited(1), wanted, LIMITS) == FallBack()


class TestUnknownOutcome:
    def test_it_is_never_repeated(self) -> None:
        assert policy.after_failure(outcome_unknown("gone"), situation(), LIMITS) == GiveUp()

    def test_it_never_falls_back(self) -> None:
        wanted = situation(wants_fallback=True)
        assert policy.after_failure(outcome_unknown("gone"), wanted, LIMITS) == GiveUp()

    def test_a_cancel_does_not_hide_what_it_may_have_cost(self) -> None:
        assert policy.after_failure(outcome_unknown("gone"), situation(cancelled=True), LIMITS) == GiveUp()


class TestCatalogue:
    def test_cost_follows_the_tokens_that_were_told(self) -> None:
        assert MODEL.cost("1024x1024", "standard", {"input_tokens": 100, "output_tokens": 1056}) is not None
        assert str(MODEL.cost("1024x1024", "standard", {"input_tokens": 0, "output_tokens": 1_000_000})) == "30"

    def test_cost_is_the_list_price_without_them_and_unknown_without_that(self) -> None:
        assert str(MODEL.cost("1024x1024", "standard", None)) == "0.0317"
        assert catalogue()["gpt-image-2.5-flare"].cost("1024x1024", "standard", None) is None

    @pytest.mark.parametrize("model", [model for model in catalogue().values() if model.list_price_usd])
    def test_list_prices_are_those_by_which_billing_estimates(self, model: Model) -> None:
        newest = max(price_books().values(), key=lambda book: book.valid_from)

        assert model.list_price_usd == newest.provider_usd[model.name].image
