"""The two transactions around every call to a provider.

:meth:`Calls.begin` commits an attempt row, under a valid lease, before anything is sent. :meth:`Calls.finish` commits
what came of it. Whoever finds an attempt open that is not its own knows that a call was cut off and must not be made
again unasked. A picture is accepted whenever it comes, even if the lease has ended or somebody else has closed its
attempt as unknown: it is paid for, and the attempt has succeeded after all. A failure counts only while its attempt is
open. Many steps share each transaction.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, select, update

from generation import closing, model_health, policy, runs, steps
from generation.errors import ProviderError
from generation.model_health import Pause
from generation.models import AttemptOutcome, RunState, StepState, attempts
from generation.pictures import MEDIA_TYPE, Picture
from generation.policy import Cancel, Defer, FallBack, GiveUp, Limits, Situation
from generation.steps import Close, Delay, Item
from kit import outbox
from kit.database import WriteSession
from kit.leases import Lease
from kit.sql import among
from shared.events import ArtifactProduced
from shared.failures import FailureClass
from shared.jobs import ImageInput


@dataclass(frozen=True, slots=True)
class Call:
    """The attempt ``number`` is on record: the provider may be called."""

    item: Item
    number: int


@dataclass(frozen=True, slots=True)
class CutOff:
    """The attempt ``number`` was left open by a process that is gone."""

    item: Item
    number: int


@dataclass(frozen=True, slots=True)
class Local:
    """The picture is to be made without the model."""

    item: Item


Plan = Call | CutOff | Local | None


@dataclass(frozen=True, slots=True)
class Made:
    """A good picture, on its way to S3. ``number`` is None when no provider made it."""

    item: Item
    number: int | None
    picture: Picture
    recipe: dict[str, Any]
    request_id: str | None = None
    usage: dict[str, int] | None = None
    cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A call that gave no picture."""

    item: Item
    number: int
    error: ProviderError


Result = Made | Failed


@dataclass
class _Changes:
    """What one transaction will write, collected so that each kind of change is one statement."""

    attempts: list[dict[str, Any]]
    ended: list[dict[str, Any]]
    release: list[str]
    close: list[Close]
    defer: list[Delay]
    fall_back: list[tuple[str, FailureClass]]
    produce: list[tuple[str, Picture]]
    late: list[tuple[str, Picture]]
    pauses: list[Pause]

    @classmethod
    def none(cls) -> "_Changes":
        return cls([], [], [], [], [], [], [], [], [])

    async def apply(self, session: WriteSession) -> None:
        if self.attempts:
            await session.execute(insert(attempts), self.attempts)
        if self.ended:
            await session.execute(_END_ATTEMPT, self.ended)
        await steps.release(session, self.release)
        await steps.close(session, self.close)
        await steps.defer(session, self.defer)
        await steps.fall_back(session, self.fall_back)
        await steps.produce(session, self.produce)
        await steps.keep_late(session, self.late)
        await model_health.pause(session, self.pauses)


_END_ATTEMPT = (
    update(attempts)
    .where(attempts.c.step_id == bindparam("b_step_id"), attempts.c.number == bindparam("b_number"))
    .values(
        ended_at=func.now(),
        outcome=bindparam("b_outcome"),
        failure=bindparam("b_failure"),
        detail=bindparam("b_detail"),
        provider_request_id=bindparam("b_request_id"),
        usage=bindparam("b_usage"),
        cost_usd=bindparam("b_cost_usd"),
    )
)


class Calls:
    """Begins and finishes calls within the limits of the settings."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    async def begin(self, session: WriteSession, leases: Sequence[Lease]) -> Sequence[Plan]:
        """What each leased step needs: a call, a look at a call that was cut off, a local picture, or nothing."""
        known = await _load(session, {lease.id: lease.row.job_id for lease in leases})
        asleep = await model_health.paused(session)
        changes = _Changes.none()
        plans = [self._plan(known, lease, asleep, changes) for lease in leases]
        await changes.apply(session)
        await known.end_if_done(session, changes)
        return plans

    def _plan(self, known: "_Known", lease: Lease, asleep: Mapping[str, Row[Any]], changes: _Changes) -> Plan:
        step = known.steps.get(lease.id)
        if step is None or step.lease_token != lease.token or not step.leased:
            return None
        earlier = known.attempts[step.id]
        if earlier and earlier[-1].ended_at is None:
            return CutOff(_item(known.runs[step.job_id], step), earlier[-1].number)
        if step.state != StepState.PENDING:
            changes.release.append(step.id)
            return None
        return self._plan_pending(known.runs[step.job_id], step, earlier, asleep, changes)

    def _plan_pending(
        self,
        run: Row[Any],
        step: Row[Any],
        earlier: Sequence[Row[Any]],
        asleep: Mapping[str, Row[Any]],
        changes: _Changes,
    ) -> Plan:
        item = _item(run, step)
        if run.cancel_requested_at is not None:
            changes.close.append(Close(step.id, StepState.CANCELLED, FailureClass.CANCELLED))
            return None
        situation = _situation(run, step, earlier)
        instead = policy.before_call(situation, self._limits)
        if step.fallback and not isinstance(instead, GiveUp):
            return Local(item)
        if instead is not None:
            limited = step.failure == FailureClass.RATE_LIMITED
            _follow(instead, item, FailureClass.RATE_LIMITED if limited else FailureClass.DEADLINE, changes)
            return Local(item) if isinstance(instead, FallBack) else None
        if pause := asleep.get(step.model):
            return self._while_paused(pause, item, situation, changes)
        number = len(earlier) + 1
        changes.attempts.append({"step_id": step.id, "number": number, "model": step.model})
        return Call(item, number)

    def _while_paused(self, pause: Row[Any], item: Item, situation: Situation, changes: _Changes) -> Plan:
        failure = FailureClass(pause.failure)
        decision = policy.while_paused(failure, situation, pause.open_until, self._limits)
        _follow(decision, item, failure, changes, resting=True)
        return Local(item) if isinstance(decision, FallBack) else None

    async def finish(self, session: WriteSession, results: Sequence[Result]) -> Sequence[Plan]:
        """Record results. Returns what is left to do for each: make the picture locally, or nothing."""
        known = await _load(session, {result.item.step_id: result.item.job_id for result in results})
        changes = _Changes.none()
        plans: list[Plan] = []
        for result in results:
            match result:
                case Made():
                    _record_made(session, known, result, changes)
                    plans.append(None)
                case Failed():
                    plans.append(self._record_failed(known, result, changes))
        await changes.apply(session)
        await known.end_if_done(session, changes)
        return plans

    def _record_failed(self, known: "_Known", failed: Failed, changes: _Changes) -> Plan:
        item, error = failed.item, failed.error
        step = known.steps.get(item.step_id)
        if step is None or not known.is_open(failed):
            return None
        if error.pause_seconds:
            changes.pauses.append(Pause(item.model, error.pause_seconds, error.failure))
        if step.state != StepState.PENDING:
            changes.ended.append(_ended(failed, _outcome(error, again=False)))
            changes.release.append(step.id)
            return None
        situation = _situation(known.runs[item.job_id], step, known.attempts[step.id])
        decision = policy.after_failure(error, situation, self._limits)
        changes.ended.append(_ended(failed, _outcome(error, again=isinstance(decision, Defer))))
        _follow(decision, item, error.failure, changes, resting=bool(error.pause_seconds))
        return Local(item) if isinstance(decision, FallBack) else None


@dataclass(frozen=True, slots=True)
class _Known:
    """Locked runs and steps by id, and the attempts of each step in order."""

    runs: Mapping[str, Row[Any]]
    steps: Mapping[str, Row[Any]]
    attempts: Mapping[str, Sequence[Row[Any]]]

    def is_open(self, result: Result) -> bool:
        """Whether the attempt that gave this result still waits for one."""
        made = self.attempts[result.item.step_id]
        return any(attempt.number == result.number and attempt.ended_at is None for attempt in made)

    async def end_if_done(self, session: WriteSession, changes: _Changes) -> None:
        """End the jobs whose last open item was closed here."""
        closed = {step.step_id for step in changes.close}
        touched = {step.job_id: step.causation_id for step in self.steps.values() if step.id in closed}
        running = [run for job, run in self.runs.items() if job in touched and run.state == RunState.RUNNING]
        await closing.end_if_done(session, running, causes=touched)


async def _load(session: WriteSession, jobs_of_steps: Mapping[str, str]) -> _Known:
    locked_runs = await runs.lock(session, list(jobs_of_steps.values()))
    locked_steps = await steps.lock(session, list(jobs_of_steps))
    made: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    query = select(attempts).where(among(attempts.c.step_id, jobs_of_steps))
    for row in await session.execute(query.order_by(attempts.c.step_id, attempts.c.number)):
        made[row.step_id].append(row)
    return _Known(locked_runs, locked_steps, made)


def _item(run: Row[Any], step: Row[Any]) -> Item:
    return Item(
        step_id=step.id,
        job_id=step.job_id,
        account_id=run.account_id,
        number=step.item,
        asset_id=step.asset_id,
        object_key=step.object_key,
        model=step.model,
        input=ImageInput.model_validate(run.input),
    )


def _situation(run: Row[Any], step: Row[Any], made: Sequence[Row[Any]]) -> Situation:
    return Situation(
        now=step.at,
        resting_since=step.resting_since or step.at,
        deadline=run.deadline,
        cancelled=run.cancel_requested_at is not None,
        wants_fallback=run.input.get("fallback") == "gradient",
        faults=sum(attempt.failure == FailureClass.PROVIDER_FAULT for attempt in made),
    )


def _follow(
    decision: policy.Decision, item: Item, failure: FailureClass, changes: _Changes, *, resting: bool = False
) -> None:
    match decision:
        case Defer(seconds):
            changes.defer.append(Delay(item.step_id, seconds, failure, resting))
        case FallBack():
            changes.fall_back.append((item.step_id, failure))
        case Cancel():
            changes.close.append(Close(item.step_id, StepState.CANCELLED, FailureClass.CANCELLED))
        case _:
            changes.close.append(Close(item.step_id, StepState.FAILED, failure))


def _record_made(session: WriteSession, known: _Known, made: Made, changes: _Changes) -> None:
    step = known.steps.get(made.item.step_id)
    if step is None:
        return  # its retention is over
    if made.number is not None:
        changes.ended.append(_ended(made, AttemptOutcome.SUCCEEDED))
    in_time = step.state == StepState.PENDING
    if not in_time and (made.number is None or step.sha256 is not None):
        return
    (changes.produce if in_time else changes.late).append((step.id, made.picture))
    _emit(session, step, made, late=not in_time)


def _emit(session: WriteSession, step: Row[Any], made: Made, *, late: bool) -> None:
    item, picture = made.item, made.picture
    event = ArtifactProduced(
        job_id=item.job_id,
        account_id=item.account_id,
        asset_id=item.asset_id,
        item=item.number,
        step_id=item.step_id,
        object_key=item.object_key,
        size=len(picture.data),
        sha256=picture.sha256,
        media_type=MEDIA_TYPE,
        width=picture.width,
        height=picture.height,
        fallback=made.number is None,
        late=late,
        recipe=made.recipe,
    )
    outbox.add(session, event, cause=step.causation_id, traceparent=step.traceparent)


def _outcome(error: ProviderError, *, again: bool) -> AttemptOutcome:
    if error.failure is FailureClass.OUTCOME_UNKNOWN:
        return AttemptOutcome.UNKNOWN
    return AttemptOutcome.RETRYABLE if again else AttemptOutcome.FAILED


def _ended(result: Result, outcome: AttemptOutcome) -> dict[str, Any]:
    """The parameters of :data:`_END_ATTEMPT`."""
    told: dict[str, Any] = {"failure": None, "detail": None, "usage": None, "cost_usd": None}
    match result:
        case Made(request_id=request_id, usage=usage, cost_usd=cost):
            told |= {"request_id": request_id, "usage": usage, "cost_usd": cost}
        case Failed(error=error):
            told |= {"request_id": error.request_id, "failure": error.failure, "detail": error.detail}
    told |= {"step_id": result.item.step_id, "number": result.number, "outcome": outcome}
    return {f"b_{name}": value for name, value in told.items()}
