"""Indexes for reading a long history by time, by kind and by state.

Revision ID: 2026_11_22_reading_indexes
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_reading_indexes"
down_revision = "2026_11_22_reversals"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index("transactions_by_time", "transactions", ["account_id", "created_at", "wallet_version"])
    op.create_index(
        "transactions_by_kind",
        "transactions",
        ["account_id", "kind", "wallet_version"],
        postgresql_where=sa.text("kind NOT IN ('hold', 'settle')"),
    )
    op.create_index(
        "holds_by_state",
        "holds",
        ["account_id", "state", "job_id"],
        postgresql_where=sa.text("state IN ('open', 'refused')"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("holds_by_state", "holds")
    op.drop_index("transactions_by_kind", "transactions")
    op.drop_index("transactions_by_time", "transactions")
