"""Cursors: opaque, stable while rows are added, and harmless whatever a client puts into them."""

import base64
import json
from types import NoneType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.pagination import decode_cursor, encode_cursor, page
from kit.problems import Problem

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def storable(value: Any) -> bool:
    """Whether PostgreSQL takes it as text or as a 64-bit integer."""
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    return type(value) is int and -(2**63) <= value < 2**63


class TestCursor:
    @given(st.integers(-(2**63), 2**63 - 1) | TEXT)
    def test_a_position_comes_back_as_it_was(self, position: str | int) -> None:
        kind: Any = type(position)
        assert decode_cursor(encode_cursor(position), kind) == position

    @given(st.text() | JSON.map(encoded) | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
    def test_a_hostile_cursor_is_a_problem_or_a_position_that_a_query_can_take(self, cursor: str) -> None:
        kinds: list[Any] = [str, int]
        for kind in kinds:
            try:
                position = decode_cursor(cursor, kind)
            except Problem:
                continue
            assert type(position) is (kind if cursor else NoneType)
            assert position is None or storable(position)

    @pytest.mark.parametrize(
        "cursor",
        [
            pytest.param(encoded("a\x00b"), id="nul"),
            pytest.param(encoded("\ud800"), id="lone surrogate"),
            pytest.param("[" * 500, id="not base64"),
            pytest.param(base64.urlsafe_b64encode(b"[" * 360).decode(), id="deep"),
            pytest.param("\u00e4\u00f6", id="not ascii"),
            pytest.param(encoded(["a"]), id="a list"),
        ],
    )
    def test_text_that_no_query_can_take_is_refused(self, cursor: str) -> None:
        with pytest.raises(Problem, match="start again without it"):
            decode_cursor(cursor, str)

    @pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**300, True, 1.0])
    def test_numbers_that_no_query_can_take_are_refused(self, value: float) -> None:
        with pytest.raises(Problem, match="start again without it"):
            decode_cursor(encoded(value), int)


class TestPage:
    @given(rows=st.lists(st.integers(0, 2**40), unique=True), limit=st.integers(1, 7))
    def test_following_the_cursors_gives_every_row_once_newest_first(self, rows: list[int], limit: int) -> None:
        seen: list[int] = []
        cursor: str | None = None
        while True:
            before = decode_cursor(cursor, int)
            found = sorted((row for row in rows if before is None or row < before), reverse=True)[: limit + 1]
            shown = page(found, limit, position=lambda row: row)
            seen += shown.data
            rows = [*rows, 2**41 + len(seen)]  # a newer row arrives between two pages
            if (cursor := shown.next_cursor) is None:
                break

        assert seen == sorted((row for row in rows if row <= 2**40), reverse=True)
