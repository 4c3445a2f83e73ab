"""Payments by Stripe: customers, checkouts, subscriptions, purchases, and the events that tell of them.

Revision ID: 2026_11_21_payments
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "2026_11_21_payments"
down_revision = "2026_11_21_wallets"

MOMENT = sa.DateTime(timezone=True)
TABLES = ("stripe_sweeps", "stripe_events", "purchases", "subscriptions", "checkouts", "customers")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _create_shop()
    _create_standing()
    _create_work()


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in TABLES:
        op.drop_table(table)


def _create_shop() -> None:
    op.create_table(
        "customers",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("customer_id", sa.Text, nullable=False, unique=True),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "checkouts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text, nullable=True),
        sa.Column("input_hash", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("offer", sa.Text, nullable=False),
        sa.Column("price_id", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="created"),
        sa.Column("session_id", sa.Text, nullable=True, unique=True),
        sa.Column("url", sa.Text, nullable=True),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("account_id", "idempotency_key", name="checkouts_idempotency_key"),
        sa.CheckConstraint("kind IN ('pack', 'plan')", name="checkouts_kind"),
        sa.CheckConstraint(
            "state IN ('created', 'open', 'processing', 'paid', 'failed', 'expired')", name="checkouts_state"
        ),
        sa.CheckConstraint("amount > 0", name="checkouts_amount_positive"),
    )


def _create_standing() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("price_id", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("period_end", MOMENT, nullable=False),
        sa.Column("paid_until", MOMENT, nullable=True),
        sa.Column("cancel_at_period_end", sa.Boolean, nullable=False),
        sa.Column("fetched_at", MOMENT, nullable=False),
    )
    op.create_index("subscriptions_of_account", "subscriptions", ["account_id"])
    op.create_table(
        "purchases",
        sa.Column("payment_intent", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("grant_key", sa.Text, nullable=False),
        sa.Column("paid", sa.BigInteger, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.CheckConstraint("paid > 0 AND amount > 0", name="purchases_positive"),
    )


def _create_work() -> None:
    op.create_table(
        "stripe_events",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=True),
        sa.Column("received_at", MOMENT, nullable=False, server_default=sa.func.now()),
        *_lease_columns(),
        sa.CheckConstraint("source IN ('webhook', 'sweep')", name="stripe_events_source"),
        sa.CheckConstraint("(outcome IS NULL) = (due_at IS NOT NULL)", name="stripe_events_due_until_done"),
    )
    op.create_table("stripe_sweeps", sa.Column("id", sa.Text, primary_key=True), *_lease_columns())
    for table in ("stripe_events", "stripe_sweeps"):
        columns = ["priority", "turn", "due_at"]
        op.create_index(f"{table}_due", table, columns, postgresql_where=sa.text("due_at IS NOT NULL"))
    op.execute("INSERT INTO stripe_sweeps (id, due_at) VALUES ('undelivered', now())")


def _lease_columns() -> tuple[sa.Column, ...]:
    return (
        sa.Column("due_at", MOMENT, nullable=True),
        sa.Column("priority", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("turn", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("attempts", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("lease_token", UUID(as_uuid=True), nullable=True),
        sa.Column("leased_until", MOMENT, nullable=True),
        sa.Column("traceparent", sa.Text, nullable=True),
    )
