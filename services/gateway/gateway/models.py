"""Tables of gateway: who may call, what was asked for, everything that happened to it, and what outside systems told.

``jobs`` and ``job_events`` are the read model of all five services: ``job_events`` alone is the timeline, the replay of
live streams and the audit trail, numbered per job under the lock of the job's row.
"""

from sqlalchemy import (
    BigInteger,
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
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from kit.sql import one_of
from shared.events.generation import ENDS

TERMINAL = tuple(end.status for end in ENDS)
STATUSES = ("queued", "running", *TERMINAL)
DELIVERY_STATES = ("pending", "succeeded", "failed")

metadata = MetaData()

accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False, unique=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("sign_in_told_at", DateTime(timezone=True), nullable=True),
)

# Keys of accounts. Only the SHA-256 of a key's random secret is kept.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False, unique=True),
    Column("hash", LargeBinary, nullable=False),
    Column("last4", Text, nullable=False),
    Column("scopes", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=True),
    Column("revoked_at", DateTime(timezone=True), nullable=True),
    Column("made_by", Text, ForeignKey("api_keys.id"), nullable=True),  # the key that asked for it
    Index("api_keys_account", "account_id", "id"),
    Index("api_keys_made_by", "made_by"),
)

# Sign-in links, each good for one time.
tickets = Table(
    "tickets",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("redeemed_at", DateTime(timezone=True), nullable=True),
)

# Signed-in browsers, each known by the hash of its cookie. One that came in by a key ends with that key.
browser_sessions = Table(
    "browser_sessions",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("api_key_id", Text, ForeignKey("api_keys.id"), nullable=True),
    Column("scopes", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

# What billing last told of each account's wallet; the highest version stays. Who owes is below zero.
balances = Table(
    "balances",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("available", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
)

# One row per job. One that only events of other services know (after a restore) has the kind ``unknown``.
jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="queued"),
    Column("rank", SmallInteger, nullable=False, server_default="0"),
    # what was asked for
    Column("kind", Text, nullable=False, server_default="unknown"),
    Column("input", JSONB, nullable=False, server_default="{}"),
    Column("price", BigInteger, nullable=False, server_default="0"),
    Column("webhook_url", Text, nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("deadline", DateTime(timezone=True), nullable=True),
    Column("cancel_requested_at", DateTime(timezone=True), nullable=True),
    # how it ended
    Column("items", JSONB, nullable=False, server_default="[]"),
    Column("failure", Text, nullable=True),
    Column("detail", Text, nullable=True),
    Column("needed", BigInteger, nullable=True),
    Column("available", BigInteger, nullable=True),
    Column("finished_at", DateTime(timezone=True), nullable=True),
    # its money
    Column("held", BigInteger, nullable=True),
    Column("captured", BigInteger, nullable=True),
    Column("released", BigInteger, nullable=True),
    # its delivery; null when none was asked for
    Column("delivery", Text, nullable=True),
    Column("delivery_id", Text, nullable=True),
    one_of("status", STATUSES, name="jobs_status"),
    one_of("delivery", DELIVERY_STATES, name="jobs_delivery"),
    CheckConstraint("(rank = 2) = (finished_at IS NOT NULL)", name="jobs_finished"),
    Index("jobs_account", "account_id", "id"),
    Index("jobs_account_status", "account_id", "status", "id"),
    Index("jobs_created", "created_at", postgresql_using="brin"),
    Index("jobs_open", "deadline", postgresql_where=text("finished_at IS NULL")),
)

# Events of jobs as they came, numbered per job from 1 without a gap.
job_events = Table(
    "job_events",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("event_id", UUID(as_uuid=True), nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("causation_id", Text, nullable=True),
    Column("data", JSONB, nullable=False),
)

# Messages of outside systems as they came, after their signature was found good.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sender", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("object_id", Text, nullable=True),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("sender", "external_id", name="webhooks_once"),
    Index("webhooks_received", "received_at", postgresql_using="brin"),
)
