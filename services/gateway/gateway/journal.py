"""The journal of a job: every event that belongs to it, numbered without a gap under the lock of the job's row."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select

from gateway.models import job_events
from gateway.schemas import EventView, public_data
from kit.database import ReadSession, WriteSession
from kit.sql import among
from shared.contract import Event
from shared.events import JobRequested


def entry(event: Event, *, job_id: str, seq: int) -> dict[str, Any]:
    """The row of an event that was emitted or received. A sealed secret is not kept."""
    envelope = event.envelope
    exclude = {"deliver": {"sealed_secret"}} if isinstance(event, JobRequested) else None
    return {
        "job_id": job_id,
        "seq": seq,
        "event_id": UUID(envelope.id),
        "type": envelope.type,
        "source": envelope.source,
        "time": envelope.time,
        "causation_id": envelope.causation_id,
        "data": event.model_dump(mode="json", exclude=exclude),
    }


async def write(session: WriteSession, entries: Sequence[dict[str, Any]]) -> None:
    """Store entries; the rows of their jobs are locked or new."""
    await session.execute(insert(job_events), entries)


async def last_seqs(session: ReadSession | WriteSession, job_ids: Iterable[str]) -> Counter[str]:
    """The number of each job's latest event, 0 without one. Whoever adds events has locked the rows of their jobs."""
    latest = select(job_events.c.job_id, func.max(job_events.c.seq).label("seq")).group_by(job_events.c.job_id)
    found = await session.execute(latest.where(among(job_events.c.job_id, job_ids)))
    return Counter({row.job_id: row.seq for row in found})


async def read(session: ReadSession, *, job_id: str, after: int = 0) -> list[EventView]:
    """The events of a job behind ``after``, in order."""
    query = select(job_events).where(job_events.c.job_id == job_id, job_events.c.seq > after).order_by(job_events.c.seq)
    return [
        EventView(
            seq=row.seq,
            id=str(row.event_id),
            type=row.type,
            service=row.source.rpartition("/")[2],
            time=row.time,
            causation_id=row.causation_id,
            data=public_data(row.data),
        )
        for row in await session.execute(query)
    ]
