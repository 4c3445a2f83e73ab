"""When an item first waited for a model that rests: its patience is counted from then.

Revision ID: 2026_11_22_resting_since
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_resting_since"
down_revision = "2026_11_21_runs"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("steps", sa.Column("resting_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("steps", "resting_since")
