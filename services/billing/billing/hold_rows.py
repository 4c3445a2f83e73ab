"""The row of one job: what was asked, what was answered, how it ended, and what was paid for it.

Every event of a job names its account, and its wallet is locked before the row is read, so a row never has two readers
at a time; only the overdue timer's lease is taken without it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from billing.errors import AccountMismatchError
from billing.ledger import Book, Funding
from billing.models import holds as table
from kit.database import WriteSession
from kit.leases import finished
from kit.sql import among
from shared.events import JobRequested
from shared.events.generation import Terminal


@dataclass(slots=True)
class Hold:
    """The row of one job. ``state``: awaited (only the outcome is known), open, refused or settled."""

    job_id: str
    account_id: str
    state: str = "awaited"
    causation_id: str | None = None
    price: int | None = None
    price_version: str | None = None
    quote_id: str | None = None
    deadline: datetime | None = None
    held: int = 0
    funding: Funding = field(default_factory=list)
    refusal: str | None = None
    outcome: str | None = None
    failure: str | None = None
    items: list[dict[str, Any]] = field(default_factory=list)
    owed: int = 0
    written_off: int = 0
    captured: int | None = None
    released: int | None = None
    loss: int | None = None
    expired: int = 0
    due_at: datetime | None = None
    traceparent: str | None = None

    def note_request(self, event: JobRequested) -> None:
        """Keep what was asked."""
        self.causation_id = event.envelope.id
        self.traceparent = event.envelope.traceparent
        self.price, self.price_version, self.deadline = event.price, event.price_version, event.deadline
        self.quote_id = event.quote_id

    @property
    def wants_settlement(self) -> bool:
        """Both halves are known, and there is something to settle: a refused job owes nothing but by mishap."""
        if self.outcome is None or self.state in {"awaited", "settled"}:
            return False
        return self.state == "open" or bool(self.owed or self.written_off)


_STORED = [table.c[column.name] for column in fields(Hold)]
# Of the grants that fund an open hold; no statement of its own, and nothing for other rows. By the clock of now: while
# this transaction waited for its wallets, an expiry may have come and been booked.
_EXPIRED = text(
    "CASE WHEN state = 'open' THEN ARRAY(SELECT g.id FROM grants g WHERE g.expires_at <= clock_timestamp()"
    " AND g.id IN (SELECT part ->> 0 FROM jsonb_array_elements(funding) AS part)) ELSE '{}' END AS expired_grants"
)


async def load(session: WriteSession, book: Book, events: Sequence[JobRequested | Terminal]) -> dict[str, Hold]:
    """The row of each event's job, new where there is none; tells the book which grants expired meanwhile.

    Raises AccountMismatchError.
    """
    jobs = {event.job_id for event in events}
    holds: dict[str, Hold] = {}
    for *row, expired in await session.execute(select(*_STORED, _EXPIRED).where(among(table.c.job_id, jobs))):
        hold = Hold(*row)
        holds[hold.job_id] = hold
        book.expired_grants.update(expired)
    for event in events:
        hold = holds.setdefault(event.job_id, Hold(event.job_id, event.account_id))
        if hold.account_id != event.account_id:
            raise AccountMismatchError(f"{event.job_id} belongs to {hold.account_id}, not to {event.account_id}")
    return holds


async def store(session: WriteSession, holds: Iterable[Hold]) -> None:
    """Write the rows back, in one statement."""
    rows: list[dict[str, Any]] = [asdict(hold) for hold in holds]
    if not rows:
        return
    upsert = insert(table)
    changes: dict[str, Any] = {name: upsert.excluded[name] for name in rows[0] if name != "job_id"}
    lease = {name: value for name, value in finished().items() if name != "due_at"}
    await session.execute(
        upsert.on_conflict_do_update(index_elements=[table.c.job_id], set_={**changes, **lease}), rows
    )
