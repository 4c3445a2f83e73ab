"""The kernel's part of every service's migrations: each step as it was written.

``kit.tables`` says what the tables are today. A change there is a new step here, which a new migration of every service
calls; an old step never changes, so a database made long ago and a new one go the same way.
"""

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects.postgresql import JSONB, UUID


def create_kernel_tables(op: Operations | Any) -> None:
    """The kernel's tables as of the first version; called by the first migration of every service."""
    op.create_table("inbox", sa.Column("event_id", UUID(as_uuid=True), primary_key=True))
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("headers", JSONB, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index("outbox_unsent", "outbox", ["id"], postgresql_where=sa.text("sent_at IS NULL"))
    op.create_index("outbox_sent_at", "outbox", ["sent_at"], postgresql_where=sa.text("sent_at IS NOT NULL"))
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("headers", JSONB, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
        sa.Column("attempts", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("topic", "partition", "offset", name="dead_letters_position"),
    )
    op.create_index("dead_letters_key", "dead_letters", ["topic", "key"])
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("input_hash", sa.LargeBinary, nullable=False),
        sa.Column("response", JSONB, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def drop_kernel_tables(op: Operations | Any) -> None:
    """Undo :func:`create_kernel_tables`."""
    for table in ("idempotency_keys", "dead_letters", "outbox", "inbox"):
        op.drop_table(table)


def order_letters_by_offset(op: Operations | Any) -> None:
    """The last letter of a key is found without reading the others."""
    op.drop_index("dead_letters_key", table_name="dead_letters")
    op.create_index("dead_letters_key", "dead_letters", ["topic", "key", "offset"])


def forget_order_of_letters(op: Operations | Any) -> None:
    """Undo :func:`order_letters_by_offset`."""
    op.drop_index("dead_letters_key", table_name="dead_letters")
    op.create_index("dead_letters_key", "dead_letters", ["topic", "key"])
