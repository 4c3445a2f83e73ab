"""${message}.

Revision ID: ${up_revision}
"""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    UPGRADES


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    DOWNGRADES
