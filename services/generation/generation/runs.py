"""Runs: what is known of a job, in whatever order it became known, and the one rule for what happens next.

Every event sets its own columns of the job's one row; an event about an unknown job makes the row. Whoever sees the row
complete acts, under its lock, so that no order of events starts a job twice or leaves it waiting.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy import Row, case, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert

from generation import closing, steps
from generation.closing import Causes
from generation.models import Hold, RunState, runs
from kit.database import WriteSession
from kit.leases import LeaseWorker, finished
from kit.sql import among, lock_rows, rows_of
from shared.contract import Event
from shared.events import CreditsHeld, CreditsRefused, HoldOverdue, JobCancelRequested, JobRequested
from shared.failures import FailureClass
from shared.jobs import ImageInput, parse_input

log = structlog.get_logger()


class Move(Enum):
    """What a run needs now."""

    NOTHING = auto()
    START = auto()
    STOP = auto()  # close what no provider has, then see whether anything is left
    END = auto()
    EXPIRE = auto()


def next_move(run: Row[Any]) -> Move:
    """The rule. A refusal wins over a cancel: there is nothing to cancel. Both wait for billing's answer."""
    if run.overdue:
        return Move.EXPIRE
    if run.kind is None or run.hold is None:
        return Move.NOTHING
    if run.hold == Hold.REFUSED:
        return Move.END
    if run.state == RunState.RUNNING and run.state_before == RunState.RUNNING:
        return Move.STOP if run.cancel_requested_at is not None else Move.NOTHING
    return Move.END if run.cancel_requested_at is not None else Move.START


class Runs:
    """Moves runs on. ``worker`` takes the steps that start; ``model`` makes them."""

    def __init__(self, worker: LeaseWorker, *, model: str) -> None:
        self._worker = worker
        self._model = model

    async def advance(self, session: WriteSession, found: Sequence[Row[Any]], *, causes: Mapping[str, Event]) -> None:
        """Do what each of these locked runs needs now."""
        moves: dict[Move, list[Row[Any]]] = {move: [] for move in Move}
        for run in found:
            moves[next_move(run)].append(run)
        await self._start(session, moves[Move.START], causes=causes)
        await _stop(session, moves[Move.STOP], causes=causes)
        await expire(session, moves[Move.EXPIRE], causes=causes)
        await closing.end(session, moves[Move.END], causes=causes)

    async def _start(self, session: WriteSession, starting: Sequence[Row[Any]], *, causes: Mapping[str, Event]) -> None:
        if not starting:
            return
        able: list[Row[Any]] = []
        unable: list[Row[Any]] = []
        for run in starting:
            (able if _can_make(run) else unable).append(run)
        for run in unable:
            log.error("run.not_understood", job_id=run.job_id, kind=run.kind)
        await closing.end(session, unable, causes=causes, unmade=FailureClass.INTERNAL)
        if able:
            if waiting := [run for run in able if run.state == RunState.WAITING]:
                await session.execute(update(runs).where(_is_among(waiting)).values(state=RunState.RUNNING))
            told = await steps.plan(session, self._worker, able, model=self._model, causes=causes)
            await closing.end_if_done(session, [run for run in able if run.job_id in told], causes=causes)


async def _stop(session: WriteSession, stopping: Sequence[Row[Any]], *, causes: Causes) -> None:
    if stopping:
        await steps.cancel_pending(session, [run.job_id for run in stopping])
        await closing.end_if_done(session, stopping, causes=causes)


async def expire(session: WriteSession, late: Sequence[Row[Any]], *, causes: Causes) -> None:
    """The time of these runs is over, whatever they wait for, but for pictures that were made in time.

    Those wait for storage, which never gives up: were the job ended now, storage would keep for nothing, and not as
    late, what could be paid. Its answer ends the job, so the timer is done.
    """
    if not late:
        return
    job_ids = [run.job_id for run in late]
    await steps.give_up(session, job_ids)
    waiting = await steps.awaiting_storage(session, job_ids)
    if waiting:
        await session.execute(update(runs).where(among(runs.c.job_id, waiting)).values(**finished()))
    await closing.end(session, [run for run in late if run.job_id not in waiting], causes=causes)


async def note_request(session: WriteSession, events: Sequence[JobRequested]) -> Sequence[Row[Any]]:
    """What is asked for, and until when."""
    rows = [
        {
            "job_id": event.job_id,
            "account_id": event.account_id,
            "kind": event.kind,
            "input": event.input,
            "item_prices": list(event.item_prices),
            "deadline": event.deadline,
            "deliver": event.deliver is not None,
            "causation_id": event.envelope.id,
            "traceparent": event.envelope.traceparent,
            "due_at": event.deadline,
        }
        for event in events
    ]
    told = ("kind", "input", "item_prices", "deadline", "deliver", "causation_id", "traceparent", "due_at")
    return await _note(session, rows, told)


async def note_hold(session: WriteSession, events: Sequence[CreditsHeld]) -> Sequence[Row[Any]]:
    """Billing holds the credits. A run that waited for nothing else is running with the same write."""
    rows = [{"job_id": event.job_id, "account_id": event.account_id, "hold": Hold.HELD} for event in events]
    ready = (runs.c.state == RunState.WAITING) & runs.c.kind.is_not(None)
    ready &= runs.c.cancel_requested_at.is_(None) & ~runs.c.overdue
    return await _note(session, rows, ("hold",), state=case((ready, RunState.RUNNING), else_=runs.c.state))


async def note_refusal(session: WriteSession, events: Sequence[CreditsRefused]) -> Sequence[Row[Any]]:
    """Billing refused, with the numbers that the customer is told."""
    rows = [
        {
            "job_id": event.job_id,
            "account_id": event.account_id,
            "hold": Hold.REFUSED,
            "refusal": event.model_dump(include={"code", "detail", "needed", "available"}),
        }
        for event in events
    ]
    return await _note(session, rows, ("hold", "refusal"))


async def note_cancel(session: WriteSession, events: Sequence[JobCancelRequested]) -> Sequence[Row[Any]]:
    """The customer wants the job to stop."""
    rows = [
        {"job_id": event.job_id, "account_id": event.account_id, "cancel_requested_at": event.requested_at}
        for event in events
    ]
    return await _note(session, rows, ("cancel_requested_at",))


async def note_overdue(session: WriteSession, events: Sequence[HoldOverdue]) -> Sequence[Row[Any]]:
    """Billing waits for the end of a job that should long have ended."""
    rows = [{"job_id": event.job_id, "account_id": event.account_id, "overdue": True} for event in events]
    return await _note(session, rows, ("overdue",))


async def lock(session: WriteSession, job_ids: Iterable[str]) -> dict[str, Row[Any]]:
    """Lock runs, in the order of their ids."""
    query = select(runs).where(among(runs.c.job_id, set(job_ids))).order_by(runs.c.job_id)
    return {row.job_id: row for row in await session.execute(query.with_for_update(key_share=True))}


async def lock_known(session: WriteSession, job_ids: Iterable[str]) -> None:
    """Lock those runs that are there, in the order of their ids, and read nothing of them."""
    await lock_rows(session, runs.c.job_id, set(job_ids), key_share=True)


async def lock_or_make(session: WriteSession, accounts: Mapping[str, str]) -> Sequence[Row[Any]]:
    """Lock the runs of these jobs; a job that is not known yet gets an empty one."""
    found = await lock(session, list(accounts))
    missing = [{"job_id": job, "account_id": accounts[job]} for job in sorted(accounts.keys() - found.keys())]
    if missing:
        await session.execute(insert(runs).from_select(*rows_of(runs, missing)).on_conflict_do_nothing())
        found = await lock(session, list(accounts))
    return list(found.values())


async def _note(
    session: WriteSession, rows: Sequence[dict[str, Any]], told: Sequence[str], **decided: Any
) -> Sequence[Row[Any]]:
    """Set the columns ``told`` of each job's row, and those that are ``decided`` by what it held, or make the row.

    Returns the rows, each with the ``state_before`` (none when it is new). A run that has ended stays as it is and is
    not among them. All are locked.
    """
    unique = {row["job_id"]: row for row in rows}
    statement = insert(runs).from_select(*rows_of(runs, [unique[job_id] for job_id in sorted(unique)]))
    changes: dict[str, Any] = {column: statement.excluded[column] for column in told} | decided
    alive = runs.c.state != RunState.ENDED
    upsert = statement.on_conflict_do_update(index_elements=[runs.c.job_id], set_=changes, where=alive)
    return list(await session.execute(upsert.returning(runs, literal_column("old.state").label("state_before"))))


def _is_among(found: Sequence[Row[Any]]) -> Any:
    return among(runs.c.job_id, [run.job_id for run in found])


def _can_make(run: Row[Any]) -> bool:
    """Whether this version makes what was asked; gateway, which accepted it, may be newer."""
    try:
        job_input = parse_input(run.kind, run.input)
    except (LookupError, ValidationError):
        return False
    return isinstance(job_input, ImageInput) and job_input.items == len(run.item_prices)
