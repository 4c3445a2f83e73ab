"""The outcome of an attempt is one of those that are known.

Revision ID: 2026_11_29_outcomes_of_attempts
"""

from alembic import op

revision = "2026_11_29_outcomes_of_attempts"
down_revision = "2026_11_28_letters_by_offset"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_check_constraint(
        "attempts_outcome", "attempts", "outcome IN ('succeeded', 'retryable', 'failed', 'unknown')"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_constraint("attempts_outcome", "attempts")
