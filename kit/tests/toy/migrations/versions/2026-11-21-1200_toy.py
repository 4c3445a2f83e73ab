"""The toy's tables.

Revision ID: 2026_11_21_toy
"""

from alembic import op

from kit.kernel_migrations import create_kernel_tables, drop_kernel_tables
from toy.models import metadata

revision = "2026_11_21_toy"
down_revision = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    create_kernel_tables(op)
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    metadata.drop_all(op.get_bind())
    drop_kernel_tables(op)
