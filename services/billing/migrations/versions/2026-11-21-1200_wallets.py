"""Wallets, grants, holds and the ledger, with the triggers that keep the ledger append-only and balanced.

Revision ID: 2026_11_21_wallets
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

from kit.kernel_migrations import create_kernel_tables, drop_kernel_tables

revision = "2026_11_21_wallets"
down_revision = None

NOW = sa.func.now()
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    create_kernel_tables(op)
    _create_wallets()
    _create_ledger()
    _create_holds()
    _guard_ledger()


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("holds", "entries", "transactions", "grants", "wallets"):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_ledger_change, refuse_unbalanced_entries")
    drop_kernel_tables(op)


def _create_wallets() -> None:
    op.create_table(
        "wallets",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("available", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("held", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="0"),
        sa.CheckConstraint("available >= 0", name="wallets_available_not_negative"),
        sa.CheckConstraint("held >= 0", name="wallets_held_not_negative"),
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, sa.ForeignKey("wallets.account_id"), nullable=False),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("remaining", sa.BigInteger, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.CheckConstraint(
            "source IN ('bonus', 'plan', 'purchase', 'refund', 'adjustment')",
            name="grants_source",
        ),
        sa.CheckConstraint("amount > 0", name="grants_amount_positive"),
        sa.CheckConstraint("remaining BETWEEN 0 AND amount", name="grants_remaining_within_amount"),
    )
    op.create_index("grants_spendable", "grants", ["account_id"], postgresql_where=sa.text("remaining > 0"))


def _create_ledger() -> None:
    op.create_table(
        "transactions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("input_hash", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, sa.ForeignKey("wallets.account_id"), nullable=False),
        sa.Column("job_id", sa.Text, nullable=True),
        sa.Column("wallet_version", sa.BigInteger, nullable=False),
        sa.Column("available", sa.BigInteger, nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.CheckConstraint("kind IN ('grant', 'hold', 'settle')", name="transactions_kind"),
        sa.UniqueConstraint("key", name="transactions_key"),
        sa.UniqueConstraint("account_id", "wallet_version", name="transactions_wallet_version"),
    )
    op.create_table(
        "entries",
        sa.Column("transaction_id", sa.Text, sa.ForeignKey("transactions.id"), primary_key=True),
        sa.Column("line", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("grant_id", sa.Text, sa.ForeignKey("grants.id"), nullable=True),
        sa.CheckConstraint(
            "account IN ('customer.available', 'customer.held', 'platform.earned', 'platform.expired', 'platform.loss',"
            " 'funding.bonus', 'funding.plan', 'funding.purchase', 'funding.refund', 'funding.adjustment')",
            name="entries_account",
        ),
        sa.CheckConstraint("amount <> 0", name="entries_amount_not_zero"),
    )


def _create_holds() -> None:
    op.create_table(
        "holds",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("causation_id", sa.Text, nullable=True),
        sa.Column("price", sa.BigInteger, nullable=True),
        sa.Column("price_version", sa.Text, nullable=True),
        sa.Column("deadline", MOMENT, nullable=True),
        sa.Column("held", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("funding", JSONB, nullable=False, server_default="[]"),
        sa.Column("refusal", sa.Text, nullable=True),
        sa.Column("outcome", sa.Text, nullable=True),
        sa.Column("owed", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("written_off", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("captured", sa.BigInteger, nullable=True),
        sa.Column("released", sa.BigInteger, nullable=True),
        sa.Column("loss", sa.BigInteger, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("due_at", MOMENT, nullable=True),
        sa.Column("priority", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("turn", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("attempts", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("lease_token", UUID(as_uuid=True), nullable=True),
        sa.Column("leased_until", MOMENT, nullable=True),
        sa.Column("traceparent", sa.Text, nullable=True),
        sa.CheckConstraint("state IN ('awaited', 'open', 'refused', 'settled')", name="holds_state"),
        sa.CheckConstraint("outcome IN ('succeeded', 'failed', 'cancelled', 'refused')", name="holds_outcome"),
        sa.CheckConstraint("(state = 'awaited') = (causation_id IS NULL)", name="holds_awaited_until_requested"),
        sa.CheckConstraint("state <> 'open' OR outcome IS NULL", name="holds_open_without_outcome"),
        sa.CheckConstraint("(state = 'settled') = (captured IS NOT NULL)", name="holds_settled_with_amounts"),
        sa.CheckConstraint("(state = 'open') = (due_at IS NOT NULL)", name="holds_due_while_open"),
        sa.CheckConstraint(
            "captured + released = held AND captured >= 0 AND released >= 0", name="holds_split_exactly"
        ),
        sa.CheckConstraint("captured + loss = owed + written_off", name="holds_loss_beyond_the_hold"),
        sa.CheckConstraint("held >= 0 AND owed >= 0 AND written_off >= 0", name="holds_not_negative"),
    )
    op.create_index(
        "holds_due", "holds", ["priority", "turn", "due_at"], postgresql_where=sa.text("due_at IS NOT NULL")
    )


def _guard_ledger() -> None:
    op.execute("""
        CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the ledger is append-only: % of % is refused; book a correction instead',
                lower(TG_OP), TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
        END $$
    """)
    for table in ("transactions", "entries"):
        op.execute(f"""
            CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change()
        """)
    op.execute("""
        CREATE FUNCTION refuse_unbalanced_entries() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE unbalanced text;
        BEGIN
            SELECT transaction_id INTO unbalanced FROM added
            GROUP BY transaction_id HAVING sum(amount) <> 0 LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION 'the entries of % do not sum to zero', unbalanced USING ERRCODE = 'check_violation';
            END IF;
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER entries_balance AFTER INSERT ON entries REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_unbalanced_entries()
    """)
