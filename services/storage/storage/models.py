"""Tables of storage. Both are due work too, so they carry a lease."""

from sqlalchemy import (
    BigInteger,
    Boolean,
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
from sqlalchemy.dialects.postgresql import JSONB

from kit.leases import lease_columns, lease_index
from kit.sql import one_of

metadata = MetaData()

assets = Table(
    "assets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("job_id", Text, nullable=True),
    Column("item", SmallInteger, nullable=True),
    Column("object_key", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("fallback", Boolean, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("recipe", JSONB, nullable=True),
    Column("rejection_code", Text, nullable=True),
    Column("rejection_detail", Text, nullable=True),
    Column("causation_id", Text, nullable=True),  # the event that announced it
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("settled_at", DateTime(timezone=True), nullable=True),  # when it was stored or rejected
    *lease_columns(),
    one_of("source", ("generated", "fallback", "uploaded"), name="assets_source"),
    one_of("state", ("registering", "stored", "rejected"), name="assets_state"),
    CheckConstraint("(state = 'registering') = (settled_at IS NULL)", name="assets_settled"),
    CheckConstraint("(state = 'rejected') = (rejection_code IS NOT NULL)", name="assets_rejection"),
    CheckConstraint("size > 0 AND width > 0 AND height > 0", name="assets_measures"),
    CheckConstraint("(state = 'registering') = (due_at IS NOT NULL)", name="assets_registering_is_due"),
    CheckConstraint("source = 'uploaded' OR (job_id IS NOT NULL AND item IS NOT NULL)", name="assets_of_a_job"),
    CheckConstraint("state <> 'stored' OR sha256 ~ '^[0-9a-f]{64}$'", name="assets_stored_has_sha256"),
    Index("assets_account", "account_id", "id"),
    Index("assets_job", "job_id"),
    lease_index("assets"),
)

derivatives = Table(
    "derivatives",
    metadata,
    Column("id", Text, primary_key=True),  # <asset>/<recipe>, so that one recipe is made once
    Column("asset_id", Text, ForeignKey("assets.id"), nullable=False),
    Column("recipe", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("object_key", Text, nullable=True),
    Column("error", Text, nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    *lease_columns(),
    one_of("state", ("making", "done", "failed"), name="derivatives_state"),
    CheckConstraint("(state = 'done') = (object_key IS NOT NULL)", name="derivatives_key"),
    CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="derivatives_error"),
    CheckConstraint("(state = 'making') = (due_at IS NOT NULL)", name="derivatives_making_is_due"),
    Index("derivatives_asset", "asset_id"),
    lease_index("derivatives"),
)
