"""How a job ends: exactly one terminal event, under the lock of its run.

- **refused**: billing refused the hold; nothing was made.
- **cancelled**: the customer cancelled, and at least one item was not delivered. A cancel that came too late to change
  anything leaves the job succeeded.
- **succeeded**: at least one item was delivered.
- **failed**: none was.

An ended run and its steps never change again: a second trigger does nothing, and whoever missed the event can be told
the same again.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, groupby
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Row, select, update

from generation import steps as step_rows
from generation.models import OPEN, AttemptOutcome, Hold, Outcome, RunState, StepState, attempts, runs, steps
from generation.wording import sentence
from kit import outbox
from kit.database import WriteSession
from kit.leases import finished
from kit.sql import among
from shared.contract import Event
from shared.events import JobCancelled, JobFailed, JobRefused, JobSucceeded
from shared.events.generation import AttemptSummary, ItemResult, Terminal
from shared.failures import FailureClass
from shared.ids import derived

log = structlog.get_logger()

LATEST_ATTEMPTS = 100
"""How many calls a terminal event tells of, the latest of each item; a provider that asks for patience makes more."""

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
) -> None:
    """End jobs now. Items that never became steps are refused, cancelled or overdue, or fail as ``unmade``."""
    if ending:
        made = await step_rows.of_jobs(session, [run.job_id for run in ending])
        await _end(session, ending, made, causes=causes, unmade=unmade)


async def tell_again(session: WriteSession, ended: Sequence[Row[Any]], *, causes: Causes) -> None:
    """Repeat the terminal events of ended jobs, whose runs are locked: somebody has missed them."""
    if not ended:
        return
    job_ids = [run.job_id for run in ended]
    made, calls = await step_rows.of_jobs(session, job_ids), await _attempts_of(session, job_ids)
    for run in ended:
        results = _results(run, made.get(run.job_id, ()), calls[run.job_id], unmade=run.unmade)
        event = _terminal(run, run.outcome, results, calls[run.job_id], finished_at=run.ended_at)
        outbox.add(session, event, cause=causes[run.job_id], traceparent=run.traceparent, event_id=_end_id(run.job_id))
        log.warning("end.told_again", job_id=run.job_id, outcome=run.outcome)


async def _end(
    session: WriteSession,
    ending: Sequence[Row[Any]],
    made: Mapping[str, Sequence[Row[Any]]],
    *,
    causes: Causes,
    unmade: FailureClass | None = None,
) -> None:
    if not ending:
        return
    calls = await _attempts_of(session, [run.job_id for run in ending])
    outcomes: defaultdict[Outcome, list[str]] = defaultdict(list)
    now = datetime.now(UTC)
    for run in sorted(ending, key=lambda run: str(run.job_id)):
        results = _results(run, made.get(run.job_id, ()), calls[run.job_id], unmade=unmade)
        outcome = _outcome(run, results)
        outcomes[outcome].append(run.job_id)
        event = _terminal(run, outcome, results, calls[run.job_id], finished_at=now)
        outbox.add(session, event, cause=causes[run.job_id], traceparent=run.traceparent, event_id=_end_id(run.job_id))
    for outcome, job_ids in outcomes.items():
        values = {"state": RunState.ENDED, "outcome": outcome, "ended_at": now, "unmade": unmade}
        values |= finished()
        await session.execute(update(runs).where(among(runs.c.job_id, job_ids)).values(**values))


def _end_id(job_id: str) -> UUID:
    """The id of the one terminal event of a job, also when it is told again."""
    return derived(job_id, "end")


def _results(
    run: Row[Any], made: Iterable[Row[Any]], calls: Sequence[Row[Any]], *, unmade: str | None
) -> tuple[ItemResult, ...]:
    """How every item ended that was asked for; none for a job whose request never came."""
    by_item = {step.item: step for step in made}
    return tuple(
        _result(run, by_item[item], [call for call in calls if call.item == item])
        if item in by_item
        else _never_made(run, item, unmade=unmade)
        for item in range(len(run.item_prices or ()))
    )


def _result(run: Row[Any], step: Row[Any], calls: Sequence[Row[Any]]) -> ItemResult:
    item, price = step.item, run.item_prices[step.item]
    match step.state:
        case StepState.STORED:
            return ItemResult(
                item=item,
                outcome="delivered",
                price=0 if step.fallback else price,
                asset_id=step.asset_id,
                fallback=step.fallback,
                detail=sentence(step.failure, calls) if step.fallback and step.failure else None,
            )
        case StepState.CANCELLED:
            return ItemResult(item=item, outcome="cancelled", price=0, failure=FailureClass.CANCELLED)
        case _:
            loss = price if step.failure == FailureClass.OUTCOME_UNKNOWN else 0
            detail = sentence(step.failure, calls)
            return ItemResult(item=item, outcome="failed", price=0, failure=step.failure, detail=detail, loss=loss)


def _never_made(run: Row[Any], item: int, *, unmade: str | None) -> ItemResult:
    if unmade is not None:
        return ItemResult(item=item, outcome="failed", price=0, failure=unmade, detail=sentence(unmade))
    if run.hold == Hold.REFUSED:
        return ItemResult(item=item, outcome="failed", price=0, failure=run.refusal["code"])
    if run.cancel_requested_at is not None:
        return ItemResult(item=item, outcome="cancelled", price=0, failure=FailureClass.CANCELLED)
    return ItemResult(item=item, outcome="failed", price=0, failure=FailureClass.DEADLINE)


def _outcome(run: Row[Any], results: Sequence[ItemResult]) -> Outcome:
    delivered = sum(result.outcome == "delivered" for result in results)
    if run.hold == Hold.REFUSED:
        return Outcome.REFUSED
    if run.cancel_requested_at is not None and (delivered < len(results) or not results):
        return Outcome.CANCELLED
    return Outcome.SUCCEEDED if delivered else Outcome.FAILED


def _terminal(
    run: Row[Any], outcome: str, results: tuple[ItemResult, ...], calls: Sequence[Row[Any]], *, finished_at: datetime
) -> Terminal:
    common: dict[str, Any] = {
        "job_id": run.job_id,
        "account_id": run.account_id,
        "items": results,
        "attempts": tuple(_summary(call) for call in _latest(calls, items=len(results))),
        "finished_at": finished_at,
        "deliver": run.deliver,
    }
    match outcome:
        case Outcome.REFUSED:
            refusal = run.refusal
            numbers = {"needed": refusal["needed"], "available": refusal["available"]}
            return JobRefused(**common, failure=refusal["code"], detail=refusal["detail"], **numbers)
        case Outcome.CANCELLED:
            return JobCancelled(**common)
        case Outcome.SUCCEEDED:
            return JobSucceeded(**common)
    first = next((result for result in results if result.failure), None)
    failure, detail = (first.failure, first.detail) if first else (FailureClass.DEADLINE, None)
    return JobFailed(**common, failure=failure or FailureClass.INTERNAL, detail=detail)


def _latest(calls: Sequence[Row[Any]], *, items: int) -> Iterable[Row[Any]]:
    """An equal share for each item: one without a call here counts as never begun."""
    share = LATEST_ATTEMPTS // max(1, items)
    by_item = groupby(calls, key=lambda call: call.item)
    return chain.from_iterable(list(group)[-share:] for _, group in by_item)


async def _attempts_of(session: WriteSession, job_ids: Sequence[str]) -> Mapping[str, list[Row[Any]]]:
    """What was asked of providers for each job, item by item."""
    query = (
        select(attempts, steps.c.job_id, steps.c.item)
        .join(steps, steps.c.id == attempts.c.step_id)
        .where(among(steps.c.job_id, job_ids))
        .order_by(steps.c.job_id, steps.c.item, attempts.c.number)
    )
    grouped: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in await session.execute(query):
        grouped[row.job_id].append(row)
    return grouped


def _summary(call: Row[Any]) -> AttemptSummary:
    """One call for the timeline; one that is still open has an unknown outcome."""
    return AttemptSummary(
        item=call.item,
        number=call.number,
        model=call.model,
        started_at=call.started_at,
        ended_at=call.ended_at,
        outcome=call.outcome or AttemptOutcome.UNKNOWN,
        detail=sentence(call.failure, [call]) if call.failure else None,
        provider_request_id=call.provider_request_id,
        cost_usd=None if call.cost_usd is None else format(call.cost_usd, "f"),
    )
