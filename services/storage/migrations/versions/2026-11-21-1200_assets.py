"""Assets and their derivatives.

Revision ID: 2026_11_21_assets
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from kit.kernel_migrations import create_kernel_tables, drop_kernel_tables

revision = "2026_11_21_assets"
down_revision = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    create_kernel_tables(op)
    op.create_table(
        "assets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("item", sa.SmallInteger(), nullable=True),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("fallback", sa.Boolean(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("recipe", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("rejection_code", sa.Text(), nullable=True),
        sa.Column("rejection_detail", sa.Text(), nullable=True),
        sa.Column("causation_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("turn", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.CheckConstraint("(state = 'registering') = (settled_at IS NULL)", name="assets_settled"),
        sa.CheckConstraint("(state = 'rejected') = (rejection_code IS NOT NULL)", name="assets_rejection"),
        sa.CheckConstraint("source IN ('generated', 'fallback', 'uploaded')", name="assets_source"),
        sa.CheckConstraint("state IN ('registering', 'stored', 'rejected')", name="assets_state"),
        sa.CheckConstraint("size > 0 AND width > 0 AND height > 0", name="assets_measures"),
        sa.CheckConstraint("(state = 'registering') = (due_at IS NOT NULL)", name="assets_registering_is_due"),
        sa.CheckConstraint("source = 'uploaded' OR (job_id IS NOT NULL AND item IS NOT NULL)", name="assets_of_a_job"),
        sa.CheckConstraint("state <> 'stored' OR sha256 ~ '^[0-9a-f]{64}$'", name="assets_stored_has_sha256"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("assets_account", "assets", ["account_id", "id"], unique=False)
    op.create_index(
        "assets_due",
        "assets",
        ["priority", "turn", "due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index("assets_job", "assets", ["job_id"], unique=False)
    op.create_table(
        "derivatives",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("asset_id", sa.Text(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("turn", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.CheckConstraint("(state = 'done') = (object_key IS NOT NULL)", name="derivatives_key"),
        sa.CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="derivatives_error"),
        sa.CheckConstraint("(state = 'making') = (due_at IS NOT NULL)", name="derivatives_making_is_due"),
        sa.CheckConstraint("state IN ('making', 'done', 'failed')", name="derivatives_state"),
        sa.ForeignKeyConstraint(
            ["asset_id"],
            ["assets.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("derivatives_asset", "derivatives", ["asset_id"], unique=False)
    op.create_index(
        "derivatives_due",
        "derivatives",
        ["priority", "turn", "due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("derivatives")
    op.drop_table("assets")
    drop_kernel_tables(op)
