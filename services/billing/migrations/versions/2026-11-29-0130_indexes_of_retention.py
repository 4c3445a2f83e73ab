"""Old events of Stripe are found by their age; nothing looks for the quotes of an account.

Revision ID: 2026_11_29_indexes_of_retention
"""

from alembic import op

revision = "2026_11_29_indexes_of_retention"
down_revision = "2026_11_28_letters_by_offset"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index("stripe_events_by_age", "stripe_events", ["received_at"])
    op.drop_index("quotes_of_account", table_name="quotes")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index("quotes_of_account", "quotes", ["account_id", "valid_until"])
    op.drop_index("stripe_events_by_age", table_name="stripe_events")
