"""Statements over sets whose text does not depend on how many rows there are, and the rule for a column of few words.

SQLAlchemy compiles, and PostgreSQL plans, each text once. An ``IN`` list or a multi-row ``VALUES`` has another text for
every number of rows, so at load it would be compiled and planned anew for nearly every batch.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ColumnElement, Select, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.dml import UpdateBase

from kit.database import WriteSession


def among(column: Column[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """``column = ANY(values)``."""
    return column == sa.any_(sa.literal(sorted(values), sa.ARRAY(Text)))


def one_of(column: str, words: Iterable[str], *, name: str) -> CheckConstraint:
    """The rule that a text column holds one of a few words."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=name)


def rows_of(table: Table, rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], Select[Any]]:
    """Rows as ``INSERT .. FROM SELECT`` takes them: the names of their columns, and a query over one JSON parameter.

    All rows have the same keys. Values are what JSON can say, or have a text that PostgreSQL reads (times, enums).
    """
    names = list(rows[0])
    parameter = sa.cast(sa.literal(json.dumps([dict(row) for row in rows], default=str), Text), JSONB)
    columns = [sa.column(name, table.c[name].type) for name in names]
    record = sa.func.jsonb_to_recordset(parameter).table_valued(*columns).render_derived(with_types=True)
    return names, sa.select(*(record.c[name] for name in names))


async def lock_rows(
    session: WriteSession, column: Column[Any], values: Iterable[str], *, key_share: bool = False
) -> None:
    """Lock the rows whose ``column`` is one of ``values``, and read nothing of them.

    In the order of the column, as all who lock many do, or two of them could wait for each other. ``key_share`` lets
    others insert rows that refer to these.
    """
    query = sa.select(column).where(among(column, values)).order_by(column)
    await session.execute(query.with_for_update(key_share=key_share))


async def affected(session: WriteSession, statement: UpdateBase) -> int:
    """Execute a write; how many rows it changed, as the server counts them."""
    connection = await session.connection()
    return (await connection.execute(statement)).rowcount
