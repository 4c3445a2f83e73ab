"""Reading jobs, and asking for one to stop."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, select, update

from gateway import journal
from gateway.errors import job_already_finished, job_not_found, unknown_kind
from gateway.models import TERMINAL, jobs
from kit import outbox
from kit.database import ReadSession, WriteSession
from shared.events import JobCancelRequested
from shared.jobs import JOB_INPUTS


async def get_job(session: ReadSession | WriteSession, *, account_id: str, job_id: str) -> Any:
    """The row of a job. Raises Problem 404, also for a job of someone else."""
    return await _one(session, select(jobs), account_id=account_id, job_id=job_id)


async def get_state(session: ReadSession, *, account_id: str, job_id: str) -> Any:
    """As much of the row as tells whether more is to come, for those who look often. Raises Problem 404."""
    query = select(jobs.c.status, jobs.c.captured, jobs.c.delivery)
    return await _one(session, query, account_id=account_id, job_id=job_id)


async def _one(
    session: ReadSession | WriteSession, query: Select[*tuple[Any, ...]], *, account_id: str, job_id: str
) -> Any:
    owned = query.where(jobs.c.id == job_id, jobs.c.account_id == account_id)
    row = (await session.execute(owned)).one_or_none()
    if row is None:
        raise job_not_found()
    return row


async def list_jobs(
    session: ReadSession, *, account_id: str, status: str | None, kind: str | None, before: str | None, limit: int
) -> list[Any]:
    """Rows of an account's jobs, newest first. Raises Problem 422 for a kind that nobody makes."""
    if kind is not None and kind not in JOB_INPUTS:  # the whole history would be searched in vain
        raise unknown_kind(list(JOB_INPUTS))
    query = select(jobs).where(jobs.c.account_id == account_id).order_by(jobs.c.id.desc()).limit(limit)
    if status is not None:
        query = query.where(jobs.c.status == status)
    if kind is not None:
        query = query.where(jobs.c.kind == kind)
    if before is not None:
        query = query.where(jobs.c.id < before)
    return list((await session.execute(query)).all())


async def request_cancel(session: WriteSession, *, account_id: str, job_id: str) -> Any:
    """Ask generation to stop a job; asking again changes nothing. Returns its row. Raises Problem 404 or 409."""
    owned = (jobs.c.id == job_id, jobs.c.account_id == account_id)
    row = (await session.execute(select(jobs).where(*owned).with_for_update())).one_or_none()
    if row is None:
        raise job_not_found()
    if row.status in TERMINAL:
        raise job_already_finished(row.status)
    if row.cancel_requested_at is not None:
        return row
    now = datetime.now(UTC)
    event = JobCancelRequested(job_id=job_id, account_id=account_id, requested_at=now)
    outbox.add(session, event)
    last = await journal.last_seqs(session, [job_id])
    await journal.write(session, [journal.entry(event, job_id=job_id, seq=last[job_id] + 1)])
    changed = await session.execute(update(jobs).where(*owned).values(cancel_requested_at=now).returning(jobs))
    return changed.one()


def is_finished(row: Any) -> bool:
    """Whether the job has ended."""
    return row.status in TERMINAL


def is_complete(row: Any) -> bool:
    """Whether nothing more is to come: the job has ended, its credits are settled or refused, its delivery is over."""
    return is_finished(row) and row.captured is not None and row.delivery != "pending"
