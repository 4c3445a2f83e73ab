"""The outcome of an attempt is one of those that are known.

Revision ID: 2026_11_29_outcomes_of_attempts
"""

from alembic import op

revision = "2026_11_29_outcomes_of_attempts"
down_revision = "2026_11_28_letters_by_offset"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    known = "outcome IN ('succeeded', 'retryable', 'failed', 'unknown')"
    # The next migration looks through the rows, while calls begin and end.
    op.create_check_constraint("attempts_outcome", "attempts", known, postgresql_not_valid=True)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_constraint("attempts_outcome", "attempts")
