"""Tables of gateway: who may call, what was asked for, everything that happened to it, and what outside systems told.

``jobs`` and ``job_events`` are the read model of all five services: ``job_events`` alone is the timeline, the replay of
live streams and the audit trail, numbered per job under the lock of the job's row.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

TERMINAL = ("succeeded", "failed", "cancelled", "refused")
STATUSES = ("queued", "running", *TERMINAL)
DELIVERY_STATES = ("pending", "succeeded", "failed")


def one_of(column: str, values: tuple[str, ...], *, name: str) -> CheckConstraint:
    """A text column that holds one of a few words."""
    words = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({words})", name=name)


def moment(*, nullable: bool = False, now: bool = False) -> Column[Any]:
    """A column that holds a moment with its time zone."""
    return Column(DateTime(timezone=True), nullable=nullable, server_default=sa.func.now() if now else None)


def among(column: Column[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """``column = ANY(values)``: one text of SQL, and one prepared statement, for any number of values."""
    return column == sa.any_(sa.literal(sorted(values), ARRAY(Text)))


class Table(SQLModel, registry=registry()):
    """Base of gateway's tables, with a registry of its own: five services may live in one process."""


class Account(Table, table=True):
    """A customer."""

    __tablename__ = "accounts"

    id: str = Field(sa_column=Column(Text, primary_key=True))
    email: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    created_at: datetime = Field(sa_column=moment(now=True))


class ApiKey(Table, table=True):
    """A key of an account. Only the SHA-256 of its random secret is kept."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("api_keys_account", "account_id", "id"),)

    id: str = Field(sa_column=Column(Text, primary_key=True))
    account_id: str = Field(sa_column=Column(Text, sa.ForeignKey("accounts.id"), nullable=False))
    name: str = Field(sa_column=Column(Text, nullable=False))
    prefix: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    last4: str = Field(sa_column=Column(Text, nullable=False))
    scopes: list[str] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=moment(now=True))
    expires_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


class Ticket(Table, table=True):
    """A sign-in link that can be used once."""

    __tablename__ = "tickets"

    hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    account_id: str = Field(sa_column=Column(Text, sa.ForeignKey("accounts.id"), nullable=False))
    expires_at: datetime = Field(sa_column=moment())
    redeemed_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


class BrowserSession(Table, table=True):
    """A signed-in browser, known by the hash of its cookie."""

    __tablename__ = "browser_sessions"

    hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    account_id: str = Field(sa_column=Column(Text, sa.ForeignKey("accounts.id"), nullable=False))
    created_at: datetime = Field(sa_column=moment(now=True))
    expires_at: datetime = Field(sa_column=moment())


class Balance(Table, table=True):
    """What billing last told of an account's wallet; the highest version stays. Who owes is below zero."""

    __tablename__ = "balances"

    account_id: str = Field(sa_column=Column(Text, primary_key=True))
    available: int = Field(sa_column=Column(BigInteger, nullable=False))
    held: int = Field(sa_column=Column(BigInteger, nullable=False))
    version: int = Field(sa_column=Column(BigInteger, nullable=False))


class Job(Table, table=True):
    """One job. A row that only events of other services know (after a restore) has the kind ``unknown``."""

    __tablename__ = "jobs"
    __table_args__ = (
        one_of("status", STATUSES, name="jobs_status"),
        one_of("delivery", DELIVERY_STATES, name="jobs_delivery"),
        CheckConstraint("(rank = 2) = (finished_at IS NOT NULL)", name="jobs_finished"),
        Index("jobs_account", "account_id", "id"),
        Index("jobs_created", "created_at", postgresql_using="brin"),
        Index("jobs_open", "deadline", postgresql_where=sa.text("finished_at IS NULL")),
    )

    id: str = Field(sa_column=Column(Text, primary_key=True))
    account_id: str = Field(sa_column=Column(Text, nullable=False))
    status: str = Field(default="queued", sa_column=Column(Text, nullable=False, server_default="queued"))
    rank: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    # what was asked for
    kind: str = Field(default="unknown", sa_column=Column(Text, nullable=False, server_default="unknown"))
    input: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default="{}"))
    price: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    price_version: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    webhook_url: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    created_at: datetime = Field(sa_column=moment())
    deadline: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    cancel_requested_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    # how it ended
    items: list[Any] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False, server_default="[]"))
    failure: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    detail: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    needed: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    available: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    finished_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    # its money
    held: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    captured: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    released: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    # its delivery; null when none was asked for
    delivery: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    delivery_id: str | None = Field(default=None, sa_column=Column(Text, nullable=True))


class JobEvent(Table, table=True):
    """One event of a job as it came, numbered from 1 without a gap."""

    __tablename__ = "job_events"

    job_id: str = Field(sa_column=Column(Text, primary_key=True))
    seq: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    event_id: UUID = Field(sa_column=Column(PG_UUID(as_uuid=True), nullable=False, unique=True))
    type: str = Field(sa_column=Column(Text, nullable=False))
    source: str = Field(sa_column=Column(Text, nullable=False))
    time: datetime = Field(sa_column=moment())
    causation_id: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    data: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))


class Webhook(Table, table=True):
    """A message of an outside system as it came, after its signature was found good."""

    __tablename__ = "webhooks"
    __table_args__ = (
        UniqueConstraint("sender", "external_id", name="webhooks_once"),
        Index("webhooks_received", "received_at", postgresql_using="brin"),
    )

    id: str = Field(sa_column=Column(Text, primary_key=True))
    sender: str = Field(sa_column=Column(Text, nullable=False))
    external_id: str = Field(sa_column=Column(Text, nullable=False))
    kind: str = Field(sa_column=Column(Text, nullable=False))
    object_id: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    headers: list[Any] = Field(sa_column=Column(JSONB, nullable=False))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    received_at: datetime = Field(sa_column=moment())


metadata = Table.metadata

accounts = metadata.tables["accounts"]
api_keys = metadata.tables["api_keys"]
tickets = metadata.tables["tickets"]
browser_sessions = metadata.tables["browser_sessions"]
balances = metadata.tables["balances"]
jobs = metadata.tables["jobs"]
job_events = metadata.tables["job_events"]
webhooks = metadata.tables["webhooks"]
