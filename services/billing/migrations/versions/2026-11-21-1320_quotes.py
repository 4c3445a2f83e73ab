"""Quotes, and the quote that a hold was priced by.

Revision ID: 2026_11_21_quotes
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "2026_11_21_quotes"
down_revision = "2026_11_21_sign_ins"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "quotes",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("price_version", sa.Text, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("jobs", JSONB, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.Column("valid_until", MOMENT, nullable=False),
        sa.CheckConstraint("price >= 0", name="quotes_price_not_negative"),
        sa.CheckConstraint("valid_until > created_at", name="quotes_valid_for_a_while"),
    )
    op.create_index("quotes_of_account", "quotes", ["account_id", "valid_until"])
    op.add_column("holds", sa.Column("quote_id", sa.Text, nullable=True))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("holds", "quote_id")
    op.drop_table("quotes")
