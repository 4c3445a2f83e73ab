"""Grants that expire, clawed-back credits and the debt they may leave.

Revision ID: 2026_11_21_expiry_and_debt
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

revision = "2026_11_21_expiry_and_debt"
down_revision = "2026_11_21_payments"

MOMENT = sa.DateTime(timezone=True)
KINDS = "kind IN ('grant', 'hold', 'settle', 'expire', 'clawback', 'adjust')"
FIRST_KINDS = "kind IN ('grant', 'hold', 'settle')"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_constraint("wallets_available_not_negative", "wallets")
    op.add_column("wallets", sa.Column("debt", sa.BigInteger, nullable=False, server_default="0"))
    op.create_check_constraint("wallets_debt_not_negative", "wallets", "debt >= 0")
    op.create_check_constraint("wallets_negative_by_debt_alone", "wallets", "available + debt >= 0")
    op.add_column("grants", sa.Column("expired", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("grants", sa.Column("clawed_back", sa.BigInteger, nullable=False, server_default="0"))
    op.create_check_constraint("grants_expired_within_amount", "grants", "expired BETWEEN 0 AND amount - remaining")
    op.create_check_constraint("grants_clawed_back_within_amount", "grants", "clawed_back BETWEEN 0 AND amount")
    _replace_kinds(KINDS)
    # the moment of booking, not of BEGIN: under a wallet's lock these rise with its version
    op.alter_column("transactions", "created_at", server_default=sa.func.clock_timestamp())
    op.add_column("holds", sa.Column("expired", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("holds", sa.Column("items", JSONB, nullable=False, server_default="[]"))
    op.add_column("holds", sa.Column("failure", sa.Text, nullable=True))
    op.create_check_constraint("holds_expired_of_released", "holds", "expired BETWEEN 0 AND coalesce(released, 0)")
    op.create_index("holds_of_account", "holds", ["account_id", "job_id"])
    _create_expiries()


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("grant_expiries")
    op.drop_index("holds_of_account", "holds")
    for column in ("failure", "items", "expired"):
        op.drop_column("holds", column)
    op.alter_column("transactions", "created_at", server_default=sa.func.now())
    _replace_kinds(FIRST_KINDS)
    op.drop_column("grants", "clawed_back")
    op.drop_column("grants", "expired")
    op.drop_column("wallets", "debt")
    op.create_check_constraint("wallets_available_not_negative", "wallets", "available >= 0")


def _replace_kinds(kinds: str) -> None:
    op.drop_constraint("transactions_kind", "transactions")
    op.create_check_constraint("transactions_kind", "transactions", kinds)


def _create_expiries() -> None:
    op.create_table(
        "grant_expiries",
        sa.Column("grant_id", sa.Text, sa.ForeignKey("grants.id"), primary_key=True),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("due_at", MOMENT, nullable=True),
        sa.Column("priority", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("turn", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("attempts", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("lease_token", UUID(as_uuid=True), nullable=True),
        sa.Column("leased_until", MOMENT, nullable=True),
        sa.Column("traceparent", sa.Text, nullable=True),
    )
    op.create_index(
        "grant_expiries_due",
        "grant_expiries",
        ["priority", "turn", "due_at"],
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
