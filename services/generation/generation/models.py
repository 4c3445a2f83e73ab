"""The tables of generation: one run per job, one step per item, one attempt per call to a provider.

Every change of a step is made under the lock of its run, so that cancel, deadline, results and storage's answers meet
one after the other. The constraints here are the rules that no code path may break.
"""

from enum import StrEnum

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from kit.leases import lease_columns, lease_index
from kit.sql import one_of

metadata = MetaData()


class RunState(StrEnum):
    WAITING = "waiting"  # for the request, for billing's answer, or for both
    RUNNING = "running"
    ENDED = "ended"


class Hold(StrEnum):
    HELD = "held"
    REFUSED = "refused"


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class StepState(StrEnum):
    PENDING = "pending"  # to be made; a provider has it exactly while one of its attempts is open
    PRODUCED = "produced"  # the bytes lie in S3, storage has not answered yet
    STORED = "stored"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptOutcome(StrEnum):
    SUCCEEDED = "succeeded"
    RETRYABLE = "retryable"
    FAILED = "failed"
    UNKNOWN = "unknown"


OPEN = (StepState.PENDING, StepState.PRODUCED)
"""A run ends when none of its steps is in one of these."""


runs = Table(
    "runs",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    # told by JobRequested; null until it came
    Column("kind", Text, nullable=True),
    Column("input", JSONB(none_as_null=True), nullable=True),
    Column("item_prices", ARRAY(Integer), nullable=True),
    Column("deadline", DateTime(timezone=True), nullable=True),
    Column("deliver", Boolean, nullable=False, server_default=text("false")),
    Column("causation_id", Text, nullable=True),
    # told by CreditsHeld or CreditsRefused
    Column("hold", Text, nullable=True),
    Column("refusal", JSONB(none_as_null=True), nullable=True),
    # told by JobCancelRequested, HoldOverdue
    Column("cancel_requested_at", DateTime(timezone=True), nullable=True),
    Column("overdue", Boolean, nullable=False, server_default=text("false")),
    # decided here
    Column("state", Text, nullable=False, server_default=RunState.WAITING),
    Column("outcome", Text, nullable=True),
    Column("unmade", Text, nullable=True),  # why items have failed that never became steps
    Column("ended_at", DateTime(timezone=True), nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    *lease_columns(),  # due at the deadline
    one_of("state", RunState, name="runs_state"),
    one_of("hold", Hold, name="runs_hold"),
    one_of("outcome", Outcome, name="runs_outcome"),
    CheckConstraint("(state = 'ended') = (outcome IS NOT NULL AND ended_at IS NOT NULL)", name="runs_ended_once"),
    CheckConstraint("state <> 'running' OR (kind IS NOT NULL AND hold = 'held')", name="runs_running_is_paid"),
    Index("runs_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("runs_open", "deadline", postgresql_where=text("ended_at IS NULL")),
)

steps = Table(
    "steps",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, ForeignKey("runs.job_id", ondelete="CASCADE"), nullable=False),
    Column("item", SmallInteger, nullable=False),
    Column("asset_id", Text, nullable=False),
    Column("object_key", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=StepState.PENDING),
    Column("fallback", Boolean, nullable=False, server_default=text("false")),
    Column("failure", Text, nullable=True),  # of a pending step: why the last attempt failed
    Column("sha256", Text, nullable=True),
    Column("resting_since", DateTime(timezone=True), nullable=True),  # since it first waited for a model that rests
    Column("causation_id", Text, nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    *lease_columns(),
    UniqueConstraint("job_id", "item", name="steps_item"),
    one_of("state", StepState, name="steps_state"),
    CheckConstraint("state NOT IN ('produced', 'stored') OR sha256 IS NOT NULL", name="steps_made_has_sha256"),
    CheckConstraint("state <> 'failed' OR failure IS NOT NULL", name="steps_failed_has_failure"),
    lease_index("steps"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("step_id", Text, ForeignKey("steps.id", ondelete="CASCADE"), primary_key=True),
    Column("number", SmallInteger, primary_key=True),
    Column("model", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True), nullable=True),
    Column("outcome", Text, nullable=True),  # null while the call is open
    Column("failure", Text, nullable=True),
    Column("detail", Text, nullable=True),  # in the provider's words, for operators alone
    Column("provider_request_id", Text, nullable=True),
    Column("usage", JSONB(none_as_null=True), nullable=True),
    Column("cost_usd", Numeric(12, 6), nullable=True),
    one_of("outcome", AttemptOutcome, name="attempts_outcome"),
    CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="attempts_ended_with_outcome"),
    Index("attempts_open", "step_id", unique=True, postgresql_where=text("ended_at IS NULL")),
)

model_health = Table(
    "model_health",
    metadata,
    Column("model", Text, primary_key=True),
    Column("open_until", DateTime(timezone=True), nullable=False),
    Column("failure", Text, nullable=False),
)

account_turns = Table(
    "account_turns",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("next_turn", BigInteger, nullable=False),
)
