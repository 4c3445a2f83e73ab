"""How the page words and draws things: pure functions, no server."""

from datetime import timedelta

import pytest

from gateway.web import formats, lanes


class TestBraid:
    def test_a_thread_runs_from_each_cause_through_the_rows_between_to_its_effects(self):
        request, hold, other, end = lanes.weave(["gateway", "billing", "storage", "generation"], [None, 0, None, 0])

        assert [thread.service for thread in request.tail] == ["gateway"]
        assert [thread.service for thread in hold.head] == ["gateway", "gateway"]  # it passes, and it arrives
        assert [thread.service for thread in other.tail] == ["gateway"]
        assert [thread.service for thread in end.head] == ["gateway"]
        assert end.tail == []

    def test_a_service_that_is_not_known_has_a_lane_too(self):
        assert lanes.lane_of("restoration") == lanes.lane_of("publishing")


class TestFormats:
    @pytest.mark.parametrize(
        ("millicredits", "text"),
        [(0, "0 credits"), (1_000, "1 credit"), (4_500, "4.5 credits"), (1_250_001, "1,250.001 credits")],
    )
    def test_credits_show_no_digit_more_than_it_takes(self, millicredits, text):
        assert formats.credit_sum(millicredits) == text

    def test_a_ledger_line_shows_its_direction(self):
        assert formats.signed_amount(4_000) == "+4"
        assert formats.signed_amount(-500) == "\N{MINUS SIGN}0.5"

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0.0384, "38 ms"), (1.94, "1.9 s"), (59.97, "1 min 00 s"), (125, "2 min 05 s"), (3_840, "1 h 04 min")],
    )
    def test_durations_read_at_a_glance(self, seconds, text):
        assert formats.duration(timedelta(seconds=seconds)) == text


class TestMoney:
    @pytest.mark.parametrize(
        ("amount", "currency", "text"),
        [
            (500, "usd", "$5"),
            (1_990, "eur", "\N{EURO SIGN}19.90"),
            (123_456, "gbp", "\N{POUND SIGN}1,234.56"),
            (500, "jpy", "\N{YEN SIGN}500"),
            (1_200, "chf", "CHF 12"),
        ],
    )
    def test_says_no_decimals_that_say_nothing(self, amount, currency, text):
        assert formats.money(amount, currency) == text
