"""An account's jobs in one status are found without a look at all others. Jobs cannot change while this is built.

Revision ID: 2026_11_22_jobs_by_status
"""

from alembic import op

revision = "2026_11_22_jobs_by_status"
down_revision = "2026_11_22_sign_ins_told"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index("jobs_account_status", "jobs", ["account_id", "status", "id"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("jobs_account_status")
