"""Deliveries and their attempts.

Revision ID: 2026_11_21_deliveries
"""

import sqlalchemy as sa
from alembic import op

from kit.kernel_migrations import create_kernel_tables, drop_kernel_tables

revision = "2026_11_21_deliveries"
down_revision = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    create_kernel_tables(op)
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("sealed_secret", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("causation_id", sa.Text(), nullable=True),
        sa.Column("attempt_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("status_code", sa.SmallInteger(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("turn", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.CheckConstraint("(state = 'delivering') = (due_at IS NOT NULL)", name="deliveries_due_work"),
        sa.CheckConstraint("(state IN ('succeeded', 'failed')) = (ended_at IS NOT NULL)", name="deliveries_ended"),
        sa.CheckConstraint("state = 'waiting' OR (url IS NOT NULL AND body IS NOT NULL)", name="deliveries_complete"),
        sa.CheckConstraint("state IN ('waiting', 'delivering', 'succeeded', 'failed')", name="deliveries_state"),
        sa.CheckConstraint("(body IS NULL) = (type IS NULL)", name="deliveries_typed"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job_id"),
    )
    op.create_index("deliveries_account", "deliveries", ["account_id", "id"], unique=False)
    op.create_index(
        "deliveries_due",
        "deliveries",
        ["priority", "turn", "due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index("deliveries_ended_at", "deliveries", ["ended_at"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("status_code", sa.SmallInteger(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.CheckConstraint("(outcome = 'failed') = (error_code IS NOT NULL)", name="attempts_error"),
        sa.CheckConstraint("outcome IN ('succeeded', 'failed', 'interrupted')", name="attempts_outcome"),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("delivery_id", "number"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("attempts")
    op.drop_table("deliveries")
    drop_kernel_tables(op)
