"""Cursor pagination over sortable ids: newest first, stable while rows are added."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from kit.problems import Problem

T = TypeVar("T")

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


def encode_cursor(*position: Any) -> str:
    """An opaque cursor that points behind ``position``."""
    return base64.urlsafe_b64encode(json.dumps(position, default=str).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type) -> tuple[Any, ...]:
    """The position inside a cursor, checked against ``types``. Raises Problem 422 when it is not one of ours."""
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        position = None
    well_formed = (
        isinstance(position, list)
        and len(position) == len(types)
        and all(type(value) is wanted for value, wanted in zip(position, types, strict=True))
        and all(map(_storable, position))
    )
    if not well_formed:
        raise Problem(422, "invalid_cursor", "The cursor is not one that this list returned; start again without it.")
    assert isinstance(position, list)
    return tuple(position)


def _storable(value: Any) -> bool:
    """Whether PostgreSQL can compare with it: no NUL, no half of a surrogate pair, no number beyond a bigint."""
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def page(rows: Sequence[T], limit: int, *, cursor_of: Any) -> Page[T]:
    """Cut ``limit + 1`` rows to a page; ``cursor_of`` gives the cursor of a row."""
    more = len(rows) > limit
    shown = list(rows[:limit])
    return Page(data=shown, next_cursor=cursor_of(shown[-1]) if more else None)
