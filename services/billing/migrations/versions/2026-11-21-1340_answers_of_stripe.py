"""When Stripe was asked, for every object and not for subscriptions alone.

Revision ID: 2026_11_21_answers_of_stripe
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_answers_of_stripe"
down_revision = "2026_11_21_spend_limits"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "stripe_objects",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("fetched_at", MOMENT, nullable=False),
    )
    op.create_index("stripe_objects_by_age", "stripe_objects", ["fetched_at"])
    op.execute("INSERT INTO stripe_objects (id, fetched_at) SELECT id, fetched_at FROM subscriptions")
    op.drop_column("subscriptions", "fetched_at")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("subscriptions", sa.Column("fetched_at", MOMENT, nullable=False, server_default=sa.func.now()))
    op.alter_column("subscriptions", "fetched_at", server_default=None)
    op.drop_table("stripe_objects")
