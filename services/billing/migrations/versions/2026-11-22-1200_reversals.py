"""What each refund and dispute asks for, so that one that is called off gives back what it alone took.

A reversal that took nothing because others had taken all was booked without lines, and what one asked for beyond the
rest of its grant was not kept. Both are known again when Stripe is next asked about them.

Revision ID: 2026_11_22_reversals
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_reversals"
down_revision = "2026_11_21_campaign_limits"

BOOKED = """
    INSERT INTO reversals (key, grant_id, asked, turns)
    SELECT substr(t.key, length('clawback:') + 1), min(e.grant_id),
           CASE WHEN r.id IS NULL THEN sum(e.amount) ELSE 0 END, CASE WHEN r.id IS NULL THEN 1 ELSE 2 END
    FROM transactions t
    JOIN entries e ON e.transaction_id = t.id AND e.account LIKE 'funding.%'
    LEFT JOIN grants r ON r.key = 'restored:' || substr(t.key, length('clawback:') + 1)
    WHERE t.kind = 'clawback'
    GROUP BY t.key, r.id
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "reversals",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("grant_id", sa.Text, sa.ForeignKey("grants.id"), nullable=False),
        sa.Column("asked", sa.BigInteger, nullable=False),
        sa.Column("turns", sa.SmallInteger, nullable=False, server_default="1"),
        sa.CheckConstraint("asked >= 0", name="reversals_asked_not_negative"),
    )
    op.create_index("reversals_of_grant", "reversals", ["grant_id"])
    op.execute(BOOKED)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("reversals")
