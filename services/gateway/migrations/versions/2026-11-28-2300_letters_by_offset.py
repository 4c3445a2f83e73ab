"""The last letter of a key is found without reading the others.

Revision ID: 2026_11_28_letters_by_offset
"""

from alembic import op

revision = "2026_11_28_letters_by_offset"
down_revision = "2026_11_22_jobs_by_status"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("dead_letters_key", table_name="dead_letters")
    op.create_index("dead_letters_key", "dead_letters", ["topic", "key", "offset"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("dead_letters_key", table_name="dead_letters")
    op.create_index("dead_letters_key", "dead_letters", ["topic", "key"])
