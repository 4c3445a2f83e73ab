"""The outcomes of attempts that were there before are known as well; reads and writes go on meanwhile.

Revision ID: 2026_11_29_outcomes_are_checked
"""

from alembic import op

revision = "2026_11_29_outcomes_are_checked"
down_revision = "2026_11_29_outcomes_of_attempts"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE attempts VALIDATE CONSTRAINT attempts_outcome")


def downgrade() -> None:
    """Nothing: the constraint goes with the migration before."""
