"""Spend limits and balance alerts.

Revision ID: 2026_11_21_spend_limits
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_spend_limits"
down_revision = "2026_11_21_quotes"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("wallets", sa.Column("guarded", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "spend_limits",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, sa.ForeignKey("wallets.account_id"), nullable=False),
        sa.Column("api_key_id", sa.Text, nullable=True),
        sa.Column("measure", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("cap", sa.BigInteger, nullable=False),
        sa.Column("period_start", MOMENT, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("told", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("reached_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("measure IN ('credits', 'jobs', 'provider_usd', 'balance')", name="spend_limits_measure"),
        sa.CheckConstraint("period IN ('day', 'month')", name="spend_limits_period"),
        sa.CheckConstraint("cap >= 0 AND used >= 0", name="spend_limits_not_negative"),
        sa.CheckConstraint("measure <> 'balance' OR api_key_id IS NULL", name="spend_limits_balance_of_account"),
        sa.UniqueConstraint(
            "account_id",
            "api_key_id",
            "measure",
            "period",
            name="spend_limits_once",
            postgresql_nulls_not_distinct=True,
        ),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("spend_limits")
    op.drop_column("wallets", "guarded")
