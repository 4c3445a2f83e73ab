"""When accounts signed in, for the daily bonus.

Revision ID: 2026_11_21_sign_ins
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "2026_11_21_sign_ins"
down_revision = "2026_11_21_expiry_and_debt"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "sign_ins",
        sa.Column("account_id", sa.Text, sa.ForeignKey("wallets.account_id"), primary_key=True),
        sa.Column("times", ARRAY(sa.DateTime(timezone=True)), nullable=False),
        sa.Column("bonuses_before", sa.Integer, nullable=False, server_default="0"),
        sa.Column("bonuses", sa.Integer, nullable=False, server_default="0"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("sign_ins")
