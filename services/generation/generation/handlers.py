"""Events in: each sets its columns of the job's run, then the run moves on if it can."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Row

from generation import closing, runs, steps
from generation.models import RunState
from generation.progress import Progress
from generation.runs import Runs
from kit.database import WriteSession, after_commit
from shared.contract import Event
from shared.events import (
    AssetRejected,
    AssetStored,
    CreditsHeld,
    CreditsRefused,
    HoldOverdue,
    JobCancelRequested,
    JobRequested,
)

A = TypeVar("A", AssetStored, AssetRejected)


class Handlers:
    """The handlers of generation, bound to what they work with."""

    def __init__(self, moving: Runs, progress: Progress) -> None:
        self._runs = moving
        self._progress = progress

    async def on_job_requested(self, session: WriteSession, events: list[JobRequested]) -> None:
        found = await runs.note_request(session, events)
        await self._runs.advance(session, found, causes=_by_job(events))

    async def on_job_cancel_requested(self, session: WriteSession, events: list[JobCancelRequested]) -> None:
        found = await runs.note_cancel(session, events)
        await self._runs.advance(session, found, causes=_by_job(events))

    async def on_credits_held(self, session: WriteSession, events: list[CreditsHeld]) -> None:
        found = await runs.note_hold(session, events)
        await self._runs.advance(session, found, causes=_by_job(events))

    async def on_credits_refused(self, session: WriteSession, events: list[CreditsRefused]) -> None:
        found = await runs.note_refusal(session, events)
        await self._runs.advance(session, found, causes=_by_job(events))

    async def on_hold_overdue(self, session: WriteSession, events: list[HoldOverdue]) -> None:
        causes = _by_job(events)
        found = await runs.note_overdue(session, events)
        await self._runs.advance(session, found, causes=causes)
        ended = await runs.lock(session, causes.keys() - {run.job_id for run in found})
        await closing.tell_again(session, list(ended.values()), causes=causes)

    async def on_asset_stored(self, session: WriteSession, events: list[AssetStored]) -> None:
        found = await runs.lock_or_make(session, _accounts(events))
        await steps.store(session, _in_time(events, found))
        await closing.end_if_done(session, _running(found), causes=_by_job(events))
        items = [(event.job_id, event.item) for event in events if event.job_id is not None and event.item is not None]
        after_commit(session, lambda: self._progress.stored(items))

    async def on_asset_rejected(self, session: WriteSession, events: list[AssetRejected]) -> None:
        found = await runs.lock_or_make(session, _accounts(events))
        await steps.reject(session, _in_time(events, found))
        await closing.end_if_done(session, _running(found), causes=_by_job(events))


async def lock_runs(session: WriteSession, events: Sequence[Event]) -> None:
    """Lock the known runs of a batch, in id order."""
    await runs.lock_known(session, [event.correlation_id for event in events if event.correlation_id is not None])


def of_a_job(event: AssetStored) -> bool:
    """Whether an asset was made by a job; uploads were not."""
    return event.job_id is not None and event.item is not None


def _accounts(events: Sequence[AssetStored | AssetRejected]) -> dict[str, str]:
    return {event.job_id: event.account_id for event in events if event.job_id is not None}


def _in_time(events: Sequence[A], found: Sequence[Row[Any]]) -> list[A]:
    """What storage tells of jobs that have not ended."""
    alive = {run.job_id for run in found if run.state != RunState.ENDED}
    return [event for event in events if event.job_id in alive]


def _running(found: Sequence[Row[Any]]) -> list[Row[Any]]:
    return [run for run in found if run.state == RunState.RUNNING]


def _by_job(events: Sequence[Event]) -> dict[str, Event]:
    return {event.correlation_id: event for event in events if event.correlation_id is not None}
