"""How a job ends: exactly one terminal event, under the lock of its run.

- **refused**: billing refused the hold; nothing was made.
- **cancelled**: the customer cancelled, and at least one item was not delivered. A cancel that came too late to change
  anything leaves the job succeeded.
- **succeeded**: at least one item was delivered.
- **failed**: none was.

An ended run never changes again; a second trigger finds it ended and does nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select, update

from generation import steps as step_rows
from generation.models import OPEN, Hold, Outcome, RunState, StepState, attempts, runs, steps
from kit import outbox
from kit.database import WriteSession
from kit.leases import retry_after
from kit.sql import among
from shared.contract import Event
from shared.events import JobCancelled, JobFailed, JobRefused, JobSucceeded
from shared.events.generation import AttemptSummary, ItemResult, Terminal
from shared.failures import FailureClass

KEEP = timedelta(days=30)
"""How long an ended run stays, with its prompt; then its own timer deletes it."""

LATEST_ATTEMPTS = 100
"""How many calls a terminal event tells of; a provider that asks for patience all day makes more."""

Causes = Mapping[str, Event | str | None]
"""Job id -> the event, or its id, that leads to what is emitted."""


async def end_if_done(session: WriteSession, running: Sequence[Row[Any]], *, causes: Causes) -> None:
    """End those of the running jobs whose items are all closed. Their runs are locked."""
    if not running:
        return
    made = await step_rows.of_jobs(session, [run.job_id for run in running])
    done = [
        run
        for run in running
        if len(made[run.job_id]) == len(run.item_prices) and all(step.state not in OPEN for step in made[run.job_id])
    ]
    await _end(session, done, made, causes=causes)


async def end(
    session: WriteSession,
    ending: Sequence[Row[Any]],
    *,
    causes: Causes,
    unmade: FailureClass | None = None,
    detail: str | None = None,
) -> None:
    """End jobs now. Items that never became steps are refused, cancelled or overdue, or fail as ``unmade``."""
    if ending:
        made = await step_rows.of_jobs(session, [run.job_id for run in ending])
        await _end(session, ending, made, causes=causes, unmade=unmade, detail=detail)


async def _end(
    session: WriteSession,
    ending: Sequence[Row[Any]],
    made: Mapping[str, Sequence[Row[Any]]],
    *,
    causes: Causes,
    unmade: FailureClass | None = None,
    detail: str | None = None,
) -> None:
    if not ending:
        return
    calls = await _attempts_of(session, [run.job_id for run in ending])
    outcomes: defaultdict[Outcome, list[str]] = defaultdict(list)
    for run in sorted(ending, key=lambda run: str(run.job_id)):
        results = [
            _result(run, item, step, unmade=unmade, detail=detail)
            for item, step in _by_item(run, made.get(run.job_id, ()))
        ]
        event, outcome = _terminal(run, tuple(results), tuple(calls[run.job_id][-LATEST_ATTEMPTS:]))
        outcomes[outcome].append(run.job_id)
        outbox.add(session, event, cause=causes[run.job_id], traceparent=run.traceparent)
    for outcome, job_ids in outcomes.items():
        values = {"state": RunState.ENDED, "outcome": outcome, "ended_at": func.now()}
        values |= retry_after(KEEP.total_seconds())
        await session.execute(update(runs).where(among(runs.c.job_id, job_ids)).values(**values))


def _by_item(run: Row[Any], made: Iterable[Row[Any]]) -> list[tuple[int, Row[Any] | None]]:
    """Every item that was asked for, with its step; none for a job whose request never came."""
    by_item = {step.item: step for step in made}
    return [(item, by_item.get(item)) for item in range(len(run.item_prices or ()))]


def _result(
    run: Row[Any], item: int, step: Row[Any] | None, *, unmade: FailureClass | None, detail: str | None
) -> ItemResult:
    if step is None:
        return _never_made(run, item, unmade=unmade, detail=detail)
    price = run.item_prices[item]
    match step.state:
        case StepState.STORED:
            return ItemResult(
                item=item,
                outcome="delivered",
                price=0 if step.fallback else price,
                asset_id=step.asset_id,
                fallback=step.fallback,
                detail=step.detail if step.fallback else None,
            )
        case StepState.CANCELLED:
            return ItemResult(item=item, outcome="cancelled", price=0, failure=FailureClass.CANCELLED)
        case _:
            loss = price if step.failure == FailureClass.OUTCOME_UNKNOWN else 0
            return ItemResult(item=item, outcome="failed", price=0, failure=step.failure, detail=step.detail, loss=loss)


def _never_made(run: Row[Any], item: int, *, unmade: FailureClass | None, detail: str | None) -> ItemResult:
    if unmade is not None:
        return ItemResult(item=item, outcome="failed", price=0, failure=unmade, detail=detail)
    if run.hold == Hold.REFUSED:
        return ItemResult(item=item, outcome="failed", price=0, failure=run.refusal["code"])
    if run.cancel_requested_at is not None:
        return ItemResult(item=item, outcome="cancelled", price=0, failure=FailureClass.CANCELLED)
    return ItemResult(item=item, outcome="failed", price=0, failure=FailureClass.DEADLINE)


def _terminal(
    run: Row[Any], results: tuple[ItemResult, ...], calls: tuple[AttemptSummary, ...]
) -> tuple[Terminal, Outcome]:
    common: dict[str, Any] = {
        "job_id": run.job_id,
        "account_id": run.account_id,
        "items": results,
        "attempts": calls,
        "finished_at": datetime.now(UTC),
        "deliver": run.deliver,
    }
    delivered = sum(result.outcome == "delivered" for result in results)
    if run.hold == Hold.REFUSED:
        refusal = run.refusal
        numbers = {"needed": refusal["needed"], "available": refusal["available"]}
        return JobRefused(**common, failure=refusal["code"], detail=refusal["detail"], **numbers), Outcome.REFUSED
    if run.cancel_requested_at is not None and (delivered < len(results) or not results):
        return JobCancelled(**common), Outcome.CANCELLED
    if delivered:
        return JobSucceeded(**common), Outcome.SUCCEEDED
    first = next((result for result in results if result.failure), None)
    failure, detail = (first.failure, first.detail) if first else (FailureClass.DEADLINE, None)
    return JobFailed(**common, failure=failure or FailureClass.INTERNAL, detail=detail), Outcome.FAILED


async def _attempts_of(session: WriteSession, job_ids: Sequence[str]) -> Mapping[str, list[AttemptSummary]]:
    """What was asked of providers for each job; a call that is still open has an unknown outcome."""
    query = (
        select(attempts, steps.c.job_id, steps.c.item)
        .join(steps, steps.c.id == attempts.c.step_id)
        .where(among(steps.c.job_id, job_ids))
        .order_by(steps.c.job_id, steps.c.item, attempts.c.number)
    )
    grouped: defaultdict[str, list[AttemptSummary]] = defaultdict(list)
    for row in await session.execute(query):
        grouped[row.job_id].append(
            AttemptSummary(
                item=row.item,
                number=row.number,
                model=row.model,
                started_at=row.started_at,
                ended_at=row.ended_at,
                outcome=row.outcome or "unknown",
                detail=row.detail,
                provider_request_id=row.provider_request_id,
                cost_usd=None if row.cost_usd is None else format(row.cost_usd, "f"),
            )
        )
    return grouped
