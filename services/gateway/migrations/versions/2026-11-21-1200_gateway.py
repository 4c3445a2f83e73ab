"""Accounts and keys, sign-in, jobs with their journals, balances.

Revision ID: 2026_11_21_gateway
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from kit.kernel_migrations import create_kernel_tables, drop_kernel_tables

revision = "2026_11_21_gateway"
down_revision = None

MOMENT = sa.DateTime(timezone=True)
NOW = sa.func.now()
JSONB = postgresql.JSONB


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    create_kernel_tables(op)
    _create_accounts()
    _create_sign_in()
    _create_jobs()
    op.create_table(
        "balances",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("available", sa.BigInteger, nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("balances", "job_events", "jobs", "browser_sessions", "tickets", "api_keys", "accounts"):
        op.drop_table(table)
    drop_kernel_tables(op)


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False, unique=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("last4", sa.Text, nullable=False),
        sa.Column("scopes", JSONB, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.Column("made_by", sa.Text, sa.ForeignKey("api_keys.id"), nullable=True),
    )
    op.create_index("api_keys_account", "api_keys", ["account_id", "id"])
    op.create_index("api_keys_made_by", "api_keys", ["made_by"])


def _create_sign_in() -> None:
    op.create_table(
        "tickets",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("redeemed_at", MOMENT, nullable=True),
    )
    op.create_table(
        "browser_sessions",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("api_key_id", sa.Text, sa.ForeignKey("api_keys.id"), nullable=True),
        sa.Column("scopes", JSONB, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("expires_at", MOMENT, nullable=False),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default="queued"),
        sa.Column("rank", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("kind", sa.Text, nullable=False, server_default="unknown"),
        sa.Column("input", JSONB, nullable=False, server_default="{}"),
        sa.Column("price", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("webhook_url", sa.Text, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("deadline", MOMENT, nullable=True),
        sa.Column("cancel_requested_at", MOMENT, nullable=True),
        sa.Column("items", JSONB, nullable=False, server_default="[]"),
        sa.Column("failure", sa.Text, nullable=True),
        sa.Column("detail", sa.Text, nullable=True),
        sa.Column("needed", sa.BigInteger, nullable=True),
        sa.Column("available", sa.BigInteger, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("held", sa.BigInteger, nullable=True),
        sa.Column("captured", sa.BigInteger, nullable=True),
        sa.Column("released", sa.BigInteger, nullable=True),
        sa.Column("delivery", sa.Text, nullable=True),
        sa.Column("delivery_id", sa.Text, nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'refused')", name="jobs_status"
        ),
        sa.CheckConstraint("delivery IN ('pending', 'succeeded', 'failed')", name="jobs_delivery"),
        sa.CheckConstraint("(rank = 2) = (finished_at IS NOT NULL)", name="jobs_finished"),
    )
    op.create_index("jobs_account", "jobs", ["account_id", "id"])
    op.create_index("jobs_created", "jobs", ["created_at"], postgresql_using="brin")
    op.create_index("jobs_open", "jobs", ["deadline"], postgresql_where=sa.text("finished_at IS NULL"))
    op.create_table(
        "job_events",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("event_id", postgresql.UUID(as_uuid=True), nullable=False, unique=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("time", MOMENT, nullable=False),
        sa.Column("causation_id", sa.Text, nullable=True),
        sa.Column("data", JSONB, nullable=False),
    )
