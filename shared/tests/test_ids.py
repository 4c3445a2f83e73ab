"""Ids: sortable by their time, readable back, and never in need of escaping."""

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared import ids
from shared.ids import CROCKFORD, AccountId, JobId, created_at, decode, derived, earliest, encode, new_id, uuid7

BODY = "01KBHW3XJ0E4RAB1Q6TZZZ9V5C"
UUIDS = st.integers(0, 2**128 - 1).map(lambda value: uuid.UUID(int=value))


class TestUuid7:
    def test_it_is_a_version_7_uuid_of_now(self) -> None:
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        found = uuid7()
        assert (found.version, found.variant) == (7, uuid.RFC_4122)
        assert before <= created_at(f"job_{encode(found)}") <= datetime.now(UTC)

    def test_no_two_are_the_same(self) -> None:
        assert len({uuid7() for _ in range(10_000)}) == 10_000

    def test_ids_of_later_milliseconds_sort_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = []
        for moment in (0, 1, 999, 1_000, 1_700_000_000_000, 1_800_000_000_000, 2**48 - 1):
            monkeypatch.setattr(ids.time, "time_ns", lambda moment=moment: moment * 1_000_000)
            made.append(new_id("job"))
        assert made == sorted(made)


class TestEarliest:
    def test_it_lies_between_the_ids_of_before_and_those_of_the_moment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        moment = datetime(2026, 11, 21, 12, tzinfo=UTC)
        made = []
        for milliseconds in (-1, 0, 1):
            nanoseconds = (int(moment.timestamp() * 1000) + milliseconds) * 1_000_000
            monkeypatch.setattr(ids.time, "time_ns", lambda nanoseconds=nanoseconds: nanoseconds)
            made.append(new_id("job"))
        assert made[0] < earliest("job", moment) <= made[1] < made[2]


class TestDerived:
    @given(UUIDS, st.text(), st.text())
    def test_it_is_a_version_7_uuid_that_follows_from_id_and_name(
        self, value: uuid.UUID, name: str, other: str
    ) -> None:
        owner = f"job_{encode(value)}"
        found = derived(owner, name)
        assert (found.version, found.variant) == (7, uuid.RFC_4122)
        assert found == derived(owner, name)
        assert (found == derived(owner, other)) == (name == other)
        assert found.int >> 80 == value.int >> 80


class TestEncoding:
    @given(UUIDS)
    def test_a_uuid_comes_back_as_it_was(self, value: uuid.UUID) -> None:
        assert decode(f"job_{encode(value)}") == value

    @given(UUIDS, UUIDS)
    def test_ids_sort_like_the_numbers_in_them(self, one: uuid.UUID, other: uuid.UUID) -> None:
        assert (encode(one) < encode(other)) == (one.int < other.int)

    @given(UUIDS)
    def test_an_id_needs_no_escaping_anywhere(self, value: uuid.UUID) -> None:
        assert re.fullmatch(rf"[0-7][{CROCKFORD}]{{25}}", encode(value))

    @given(st.text())
    @example("0" * 26)
    def test_text_that_is_no_id_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="not an id"):
            decode(text)

    @pytest.mark.parametrize("body", ["I" * 26, "U" * 26, "a" * 26, "Z" * 26, "8" + "0" * 25, "0" * 25 + "\n"])
    def test_a_body_with_other_characters_or_too_large_a_number_is_refused(self, body: str) -> None:
        with pytest.raises(ValueError, match="not an id"):
            decode(f"job_{body}")


class TestTypes:
    def test_a_new_id_fits_its_type(self) -> None:
        assert TypeAdapter(JobId).validate_python(new_id("job"))

    @pytest.mark.parametrize(
        "wrong", ["", "job_", "job_1", f"acc_{BODY}", f"job_{BODY.lower()}", f"job_{BODY}\n", f" job_{BODY}", BODY]
    )
    def test_anything_else_does_not(self, wrong: str) -> None:
        with pytest.raises(ValidationError):
            TypeAdapter(JobId).validate_python(wrong)

    def test_types_are_told_apart_by_their_prefix(self) -> None:
        with pytest.raises(ValidationError):
            TypeAdapter(AccountId).validate_python(new_id("job"))
