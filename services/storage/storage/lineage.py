"""Lineage: which assets went into which job, and so into everything that the job made."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from kit.database import ReadSession, WriteSession
from shared.events import JobRequested
from storage.models import Reference


async def note_references(session: WriteSession, jobs: Sequence[JobRequested]) -> None:
    """Remember the inputs of jobs; repeating it changes nothing."""
    rows = [
        {
            "job_id": job.job_id,
            "position": position,
            "asset_id": asset_id,
            "account_id": job.account_id,
            "requested_at": job.requested_at,
        }
        for job in jobs
        for position, asset_id in enumerate(job.references)
    ]
    if rows:
        await session.execute(insert(Reference).on_conflict_do_nothing(), rows)


async def references_of(session: ReadSession, *, job_id: str | None) -> list[str]:
    """The assets that a job was given, in its own order."""
    query = select(col(Reference.asset_id)).where(col(Reference.job_id) == job_id).order_by(col(Reference.position))
    return list(await session.scalars(query)) if job_id else []
