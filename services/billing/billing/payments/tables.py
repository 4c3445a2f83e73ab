"""Tables of payments. Ids of Stripe's objects are kept as Stripe gives them; amounts of money are in minor units."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
)

from billing.models import metadata
from kit.leases import lease_columns, lease_index
from kit.sql import one_of

STATES = ("created", "open", "processing", "paid", "failed", "expired")

# Who an account is at Stripe.
customers = Table(
    "customers",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("customer_id", Text, nullable=False, unique=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# One row per wish to buy, committed before Stripe is asked: its id is the idempotency key at Stripe and travels in the
# session's metadata, and ``amount`` is what was promised when it was made.
checkouts = Table(
    "checkouts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("idempotency_key", Text, nullable=True),
    Column("input_hash", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("offer", Text, nullable=False),
    Column("price_id", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("state", Text, nullable=False, server_default="created"),
    Column("session_id", Text, nullable=True, unique=True),
    Column("url", Text, nullable=True),
    Column("expires_at", DateTime(timezone=True), nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("account_id", "idempotency_key", name="checkouts_idempotency_key"),
    one_of("kind", ("pack", "plan"), name="checkouts_kind"),
    one_of("state", STATES, name="checkouts_state"),
    CheckConstraint("amount > 0", name="checkouts_amount_positive"),
)

# The latest that is known of each subscription.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("price_id", Text, nullable=False),
    Column("plan", Text, nullable=True),
    Column("status", Text, nullable=False),
    Column("period_end", DateTime(timezone=True), nullable=False),
    Column("paid_until", DateTime(timezone=True), nullable=True),
    Column("cancel_at_period_end", Boolean, nullable=False),
    Index("subscriptions_of_account", "account_id"),
)

# Which grant a payment paid for, so that a refund or a dispute finds it.
purchases = Table(
    "purchases",
    metadata,
    Column("payment_intent", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("grant_key", Text, nullable=False),
    Column("paid", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    CheckConstraint("paid > 0 AND amount > 0", name="purchases_positive"),
)

# Events of Stripe that are to be looked into, each once; ``outcome`` says what came of it.
stripe_events = Table(
    "stripe_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("outcome", Text, nullable=True),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    *lease_columns(),
    lease_index("stripe_events"),
    Index("stripe_events_by_age", "received_at"),
    one_of("source", ("webhook", "sweep"), name="stripe_events_source"),
    CheckConstraint("(outcome IS NULL) = (due_at IS NOT NULL)", name="stripe_events_due_until_done"),
)

# When Stripe was asked for what was last acted on of each object: an answer to an earlier question comes too late.
stripe_objects = Table(
    "stripe_objects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("fetched_at", DateTime(timezone=True), nullable=False),
    Index("stripe_objects_by_age", "fetched_at"),
)

# One row: when Stripe is next asked for events that it could not deliver.
stripe_sweeps = Table(
    "stripe_sweeps",
    metadata,
    Column("id", Text, primary_key=True),
    *lease_columns(),
    lease_index("stripe_sweeps"),
)
