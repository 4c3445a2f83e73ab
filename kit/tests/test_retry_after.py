"""What servers write into ``Retry-After``."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.retry_after import parse_retry_after

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("120", 120),
            ("0.5", 0.5),
            ("0", 0),
            ("-5", 0),
            ("Sat, 21 Nov 2026 12:02:00 GMT", 120),
            ("Sat, 21 Nov 2026 12:02:00 -0000", 120),
            ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ],
    )
    def test_numbers_and_dates_are_understood(self, value: str, seconds: float) -> None:
        assert parse_retry_after(value, now=NOW) == seconds

    @pytest.mark.parametrize(
        "value",
        [
            None,
            "",
            "soon",
            "²",
            "nan",
            "inf",
            "Fri, 31 Dec 99999 23:59:59 GMT",
            "Fri, 31 Dec 2026 23:59:59 +9999",
            "Fri, 31 Dec 2026 23:59:59 -9999999999999999",
        ],
    )
    def test_anything_else_says_nothing(self, value: str | None) -> None:
        assert parse_retry_after(value, now=NOW) is None

    @given(st.text(max_size=60))
    def test_nothing_a_server_says_breaks_it(self, value: str) -> None:
        parsed = parse_retry_after(value, now=NOW)

        assert parsed is None or parsed >= 0
