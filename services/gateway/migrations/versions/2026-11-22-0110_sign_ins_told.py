"""When an account's signing in was last told, so that it is not told without end.

Revision ID: 2026_11_22_sign_ins_told
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_sign_ins_told"
down_revision = "2026_11_22_manage_scope"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("accounts", sa.Column("sign_in_told_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("accounts", "sign_in_told_at")
