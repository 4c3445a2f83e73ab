"""An index of the runs that have not ended, for what is checked of them every five minutes.

Revision ID: 2026_11_22_runs_open
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_runs_open"
down_revision = "2026_11_22_resting_since"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index("runs_open", "runs", ["deadline"], postgresql_where=sa.text("ended_at IS NULL"))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("runs_open", "runs")
