"""Cursor pagination over sortable ids: newest first, stable while rows are added."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from kit.problems import Problem

T = TypeVar("T")
P = TypeVar("P", str, int)

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


class Page(BaseModel, Generic[T]):
    """One page of a list. Pass ``next_cursor`` as ``cursor`` to get the next one."""

    data: list[T]
    next_cursor: str | None = Field(default=None, description="Absent on the last page.")


LimitQuery = Annotated[int, Query(alias="limit", ge=1, le=MAX_LIMIT, description="Rows per page.")]
CursorQuery = Annotated[
    str | None, Query(alias="cursor", max_length=500, description="`next_cursor` of the page before.")
]


def encode_cursor(position: str | int) -> str:
    """An opaque cursor that points behind ``position``."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, kind: type[P]) -> P | None:
    """The position inside a cursor; None without one: the first page. Raises Problem 422 when it is not one of ours."""
    if not cursor:
        return None
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        position = None
    # not isinstance: true is no number here
    if type(position) is not kind or not _storable(position):
        raise Problem(422, "invalid_cursor", "The cursor is not one that this list returned; start again without it.")
    return position


def _storable(value: str | int) -> bool:
    """Whether PostgreSQL can compare with it: no NUL, no half of a surrogate pair, no number beyond a bigint."""
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    return -(2**63) <= value < 2**63


def page(rows: Sequence[T], limit: int, *, position: Callable[[T], str | int]) -> Page[T]:
    """Cut ``limit + 1`` rows to a page; ``position`` is what the rows are ordered by."""
    more = len(rows) > limit
    shown = list(rows[:limit])
    return Page(data=shown, next_cursor=encode_cursor(position(shown[-1])) if more else None)
