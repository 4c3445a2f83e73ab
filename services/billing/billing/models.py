"""Tables of billing. Amounts are integers in milli-credits; times carry a time zone.

``transactions`` and ``entries`` are the ledger: the database refuses to change or delete their rows, and refuses
entries that do not sum to zero per transaction. ``wallets``, ``grants`` and ``holds`` are what the ledger adds up to,
kept so that nobody has to add it up.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from kit.leases import lease_columns, lease_index
from kit.sql import one_of

SOURCES = ("bonus", "plan", "purchase", "refund", "adjustment")
KINDS = ("grant", "hold", "settle", "expire", "clawback", "adjust")
ACCOUNTS = (
    "customer.available",
    "customer.held",
    "platform.earned",
    "platform.expired",
    "platform.loss",
    *(f"funding.{source}" for source in SOURCES),
)

metadata = MetaData()

# What one account can spend and what is set aside; ``version`` counts its transactions.
# ``debt`` is what a clawback found no credits for: ``available`` is what remains of all grants, less the debt.
wallets = Table(
    "wallets",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("available", BigInteger, nullable=False, server_default="0"),
    Column("held", BigInteger, nullable=False, server_default="0"),
    Column("version", BigInteger, nullable=False, server_default="0"),
    Column("debt", BigInteger, nullable=False, server_default="0"),
    Column("guarded", Boolean, nullable=False, server_default=false()),  # has spend limits
    CheckConstraint("available + debt >= 0", name="wallets_negative_by_debt_alone"),
    CheckConstraint("debt >= 0", name="wallets_debt_not_negative"),
    CheckConstraint("held >= 0", name="wallets_held_not_negative"),
)

# Credits that entered a wallet, and how much of them is neither held nor spent.
# ``expired`` went to ``platform.expired``; ``clawed_back`` was taken back, from this grant or from others.
grants = Table(
    "grants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("wallets.account_id"), nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    Column("expired", BigInteger, nullable=False, server_default="0"),
    Column("clawed_back", BigInteger, nullable=False, server_default="0"),
    Column("priority", SmallInteger, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    one_of("source", SOURCES, name="grants_source"),
    CheckConstraint("amount > 0", name="grants_amount_positive"),
    CheckConstraint("remaining BETWEEN 0 AND amount", name="grants_remaining_within_amount"),
    CheckConstraint("expired BETWEEN 0 AND amount - remaining", name="grants_expired_within_amount"),
    CheckConstraint("clawed_back BETWEEN 0 AND amount", name="grants_clawed_back_within_amount"),
    Index("grants_spendable", "account_id", postgresql_where=text("remaining > 0")),
)

# One movement of credits of one account, and the wallet as it left it.
transactions = Table(
    "transactions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False),
    Column("input_hash", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("account_id", Text, ForeignKey("wallets.account_id"), nullable=False),
    Column("job_id", Text, nullable=True),
    Column("wallet_version", BigInteger, nullable=False),
    Column("available", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    one_of("kind", KINDS, name="transactions_kind"),
    UniqueConstraint("key", name="transactions_key"),
    UniqueConstraint("account_id", "wallet_version", name="transactions_wallet_version"),
    Index("transactions_by_time", "account_id", "created_at", "wallet_version"),
    # the rare kinds alone: among holds and settlements the next one is never far
    Index(
        "transactions_by_kind",
        "account_id",
        "kind",
        "wallet_version",
        postgresql_where=text("kind NOT IN ('hold', 'settle')"),
    ),
)

# One line of a transaction: negative leaves ``account``, positive enters it.
entries = Table(
    "entries",
    metadata,
    Column("transaction_id", Text, ForeignKey("transactions.id"), primary_key=True),
    Column("line", SmallInteger, primary_key=True, autoincrement=False),
    Column("account", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("grant_id", Text, ForeignKey("grants.id"), nullable=True),
    one_of("account", ACCOUNTS, name="entries_account"),
    CheckConstraint("amount <> 0", name="entries_amount_not_zero"),
)

# One row per job. The request and the outcome each set their own columns, whichever comes first; the row is leased
# work while it is open, due when the job is overdue.
holds = Table(
    "holds",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    # from JobRequested
    Column("causation_id", Text, nullable=True),  # id of the event, the cause of HoldOverdue
    Column("price", BigInteger, nullable=True),
    Column("price_version", Text, nullable=True),
    Column("quote_id", Text, nullable=True),
    Column("deadline", DateTime(timezone=True), nullable=True),
    # the answer
    Column("held", BigInteger, nullable=False, server_default="0"),
    Column("funding", JSONB, nullable=False, server_default="[]"),  # [grant id, amount] in burn order
    Column("refusal", Text, nullable=True),
    # from the terminal event
    Column("outcome", Text, nullable=True),
    Column("failure", Text, nullable=True),
    Column("items", JSONB, nullable=False, server_default="[]"),  # one receipt line per item
    Column("owed", BigInteger, nullable=False, server_default="0"),
    Column("written_off", BigInteger, nullable=False, server_default="0"),
    # the settlement
    Column("captured", BigInteger, nullable=True),
    Column("released", BigInteger, nullable=True),
    Column("loss", BigInteger, nullable=True),
    Column("expired", BigInteger, nullable=False, server_default="0"),  # of the released: its grant had expired
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    *lease_columns(),
    lease_index("holds"),
    Index("holds_of_account", "account_id", "job_id"),
    Index("holds_by_state", "account_id", "state", "job_id", postgresql_where=text("state IN ('open', 'refused')")),
    one_of("state", ("awaited", "open", "refused", "settled"), name="holds_state"),
    one_of("outcome", ("succeeded", "failed", "cancelled", "refused"), name="holds_outcome"),
    CheckConstraint("(state = 'awaited') = (causation_id IS NULL)", name="holds_awaited_until_requested"),
    CheckConstraint("state <> 'open' OR outcome IS NULL", name="holds_open_without_outcome"),
    CheckConstraint("(state = 'settled') = (captured IS NOT NULL)", name="holds_settled_with_amounts"),
    CheckConstraint("(state = 'open') = (due_at IS NOT NULL)", name="holds_due_while_open"),
    CheckConstraint("captured + released = held AND captured >= 0 AND released >= 0", name="holds_split_exactly"),
    CheckConstraint("captured + loss = owed + written_off", name="holds_loss_beyond_the_hold"),
    CheckConstraint("expired BETWEEN 0 AND coalesce(released, 0)", name="holds_expired_of_released"),
    CheckConstraint("held >= 0 AND owed >= 0 AND written_off >= 0", name="holds_not_negative"),
)

# One row per grant that will expire, due at that moment; gone once what remained of the grant is booked as expired.
grant_expiries = Table(
    "grant_expiries",
    metadata,
    Column("grant_id", Text, ForeignKey("grants.id"), primary_key=True),
    Column("account_id", Text, nullable=False),
    *lease_columns(),
    lease_index("grant_expiries"),
)

# One row per refund or dispute: the credits that its money paid for, 0 once that is ours again. The ``clawed_back`` of
# a grant is what its reversals ask for together, or all of it; only the difference that a change makes is booked.
reversals = Table(
    "reversals",
    metadata,
    Column("key", Text, primary_key=True),  # refund:<id>, dispute:<id>
    Column("grant_id", Text, ForeignKey("grants.id"), nullable=False),
    Column("asked", BigInteger, nullable=False),
    Column("turns", SmallInteger, nullable=False, server_default="1"),  # how often ``asked`` was set
    CheckConstraint("asked >= 0", name="reversals_asked_not_negative"),
    Index("reversals_of_grant", "grant_id"),
)

# One row per account that has signed in: the sign-ins that can still matter, about one an hour, and how many bonuses
# they brought.
sign_ins = Table(
    "sign_ins",
    metadata,
    Column("account_id", Text, ForeignKey("wallets.account_id"), primary_key=True),
    Column("times", ARRAY(DateTime(timezone=True)), nullable=False),  # ascending
    Column("bonuses_before", Integer, nullable=False, server_default="0"),  # brought by older, forgotten ones
    Column("bonuses", Integer, nullable=False, server_default="0"),  # all that were given
)

# One row per quote: a price that billing keeps its word on until ``valid_until``.
quotes = Table(
    "quotes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("price_version", Text, nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("jobs", JSONB, nullable=False),  # kind, fingerprint of the input and price of each
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("valid_until", DateTime(timezone=True), nullable=False),
    CheckConstraint("price >= 0", name="quotes_price_not_negative"),
    CheckConstraint("valid_until > created_at", name="quotes_valid_for_a_while"),
)

# One row per cap, with what was used of it in its period; the measure ``balance`` is an alert at an amount instead.
spend_limits = Table(
    "spend_limits",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("wallets.account_id"), nullable=False),
    Column("api_key_id", Text, nullable=True),  # neither this nor a campaign: all of the account
    Column("campaign_id", Text, nullable=True),
    Column("measure", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("cap", BigInteger, nullable=False),  # milli-credits, jobs or millionths of a dollar
    Column("period_start", DateTime(timezone=True), nullable=False),
    Column("used", BigInteger, nullable=False, server_default="0"),
    Column("told", SmallInteger, nullable=False, server_default="0"),  # highest alert of this period, in percent
    Column("reached_at", DateTime(timezone=True), nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    one_of("measure", ("credits", "jobs", "provider_usd", "balance"), name="spend_limits_measure"),
    one_of("period", ("day", "month"), name="spend_limits_period"),
    CheckConstraint("cap >= 0 AND used >= 0", name="spend_limits_not_negative"),
    CheckConstraint("num_nonnulls(api_key_id, campaign_id) <= 1", name="spend_limits_one_scope"),
    CheckConstraint(
        "measure <> 'balance' OR num_nonnulls(api_key_id, campaign_id) = 0", name="spend_limits_balance_of_account"
    ),
    UniqueConstraint(
        "account_id",
        "api_key_id",
        "campaign_id",
        "measure",
        "period",
        name="spend_limits_once",
        postgresql_nulls_not_distinct=True,
    ),
)
