"""Who could do everything until now may manage the account from now on: no account is left without such a key.

Keys that a key has made, and sessions of those, go without: that is what the scope is for.

Revision ID: 2026_11_22_manage_scope
"""

from alembic import op

revision = "2026_11_22_manage_scope"
down_revision = "2026_11_21_webhooks"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """UPDATE api_keys SET scopes = '["manage"]' || scopes"""
        """ WHERE scopes @> '["read", "write"]' AND made_by IS NULL"""
    )
    op.execute(
        """UPDATE browser_sessions SET scopes = '["manage"]' || scopes WHERE scopes @> '["read", "write"]'"""
        " AND (api_key_id IS NULL OR api_key_id IN (SELECT id FROM api_keys WHERE made_by IS NULL))"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("UPDATE api_keys SET scopes = scopes - 'manage'")
    op.execute("UPDATE browser_sessions SET scopes = scopes - 'manage'")
