"""Tables of publishing. A delivery is due work, so it carries a lease; its attempts are a log."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
)

from kit.leases import lease_columns, lease_index
from kit.sql import one_of

metadata = MetaData()

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),  # made from the job's id, so that both halves find each other
    Column("account_id", Text, nullable=False),
    Column("job_id", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False, server_default="waiting"),
    # known from JobRequested
    Column("url", Text, nullable=True),
    Column("sealed_secret", Text, nullable=True),
    # known from the terminal event
    Column("type", Text, nullable=True),
    Column("body", Text, nullable=True),  # stored once, so that every attempt sends the same bytes
    Column("causation_id", Text, nullable=True),
    Column("attempt_count", Integer, nullable=False, server_default="0"),
    Column("failures", SmallInteger, nullable=False, server_default="0"),  # place in the retry schedule
    Column("status_code", SmallInteger, nullable=True),
    Column("error_code", Text, nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True), nullable=True),
    *lease_columns(),
    one_of("state", ("waiting", "delivering", "succeeded", "failed"), name="deliveries_state"),
    CheckConstraint("state = 'waiting' OR (url IS NOT NULL AND body IS NOT NULL)", name="deliveries_complete"),
    CheckConstraint("(state = 'delivering') = (due_at IS NOT NULL)", name="deliveries_due_work"),
    CheckConstraint("(state IN ('succeeded', 'failed')) = (ended_at IS NOT NULL)", name="deliveries_ended"),
    CheckConstraint("(body IS NULL) = (type IS NULL)", name="deliveries_typed"),
    Index("deliveries_account", "account_id", "id"),
    Index("deliveries_ended_at", "ended_at"),
    lease_index("deliveries"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("delivery_id", Text, ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("outcome", Text, nullable=True),  # null while it runs
    Column("duration_ms", Integer, nullable=True),
    Column("status_code", SmallInteger, nullable=True),
    Column("error_code", Text, nullable=True),
    Column("response", Text, nullable=True),
    one_of("outcome", ("succeeded", "failed", "interrupted"), name="attempts_outcome"),
    CheckConstraint("(outcome = 'failed') = (error_code IS NOT NULL)", name="attempts_error"),
)
