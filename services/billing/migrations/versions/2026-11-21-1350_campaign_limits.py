"""Spend limits of campaigns.

Revision ID: 2026_11_21_campaign_limits
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_campaign_limits"
down_revision = "2026_11_21_answers_of_stripe"

OF_ACCOUNT = "spend_limits_balance_of_account"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("spend_limits", sa.Column("campaign_id", sa.Text, nullable=True))
    op.create_check_constraint("spend_limits_one_scope", "spend_limits", "num_nonnulls(api_key_id, campaign_id) <= 1")
    _of_account("measure <> 'balance' OR num_nonnulls(api_key_id, campaign_id) = 0")
    _once("account_id", "api_key_id", "campaign_id", "measure", "period")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DELETE FROM spend_limits WHERE campaign_id IS NOT NULL")
    op.drop_constraint("spend_limits_one_scope", "spend_limits")
    _of_account("measure <> 'balance' OR api_key_id IS NULL")
    _once("account_id", "api_key_id", "measure", "period")
    op.drop_column("spend_limits", "campaign_id")


def _of_account(condition: str) -> None:
    op.drop_constraint(OF_ACCOUNT, "spend_limits")
    op.create_check_constraint(OF_ACCOUNT, "spend_limits", condition)


def _once(*columns: str) -> None:
    op.drop_constraint("spend_limits_once", "spend_limits")
    op.create_unique_constraint("spend_limits_once", "spend_limits", [*columns], postgresql_nulls_not_distinct=True)
