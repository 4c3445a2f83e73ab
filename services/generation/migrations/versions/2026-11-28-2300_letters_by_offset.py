"""The last letter of a key is found without reading the others.

Revision ID: 2026_11_28_letters_by_offset
"""

from alembic import op

from kit.kernel_migrations import forget_order_of_letters, order_letters_by_offset

revision = "2026_11_28_letters_by_offset"
down_revision = "2026_11_22_runs_open"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    order_letters_by_offset(op)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    forget_order_of_letters(op)
