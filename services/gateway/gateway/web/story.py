"""A job's timeline as a story for people: titles and sentences, the braid of causes, sums of the books."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from gateway.schemas import Attempt, EventView, JobView, LedgerTransaction, Step, Timeline
from gateway.web import lanes, wording
from gateway.web.lanes import Braid

BOOKINGS = {"hold": "Hold", "settle": "Settlement"}


@dataclass(frozen=True, slots=True)
class Moment:
    """One event of the chain."""

    event: EventView
    title: str
    sentence: str
    since_start: timedelta
    cause: int | None
    """Number of the event that led to this one."""
    braid: Braid


@dataclass(frozen=True, slots=True)
class Picture:
    """One item of the job: a picture, or the reason why there is none, or neither while it is made."""

    item: int
    asset_id: str | None
    failure: str | None
    fallback: bool


@dataclass(frozen=True, slots=True)
class Call:
    """One call to a model."""

    item: int
    attempt: Attempt
    took: timedelta | None


@dataclass(frozen=True, slots=True)
class Booking:
    """A ledger transaction of the job, one line per account; which grants paid for it is billing's to tell."""

    title: str
    lines: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """The proof that nothing was made or lost."""
        return sum(amount for _, amount in self.lines)


@dataclass(frozen=True, slots=True)
class Story:
    """What the page of a job shows beside the job itself."""

    moments: tuple[Moment, ...]
    pictures: tuple[Picture, ...]
    calls: tuple[Call, ...]
    bookings: tuple[Booking, ...]
    took: timedelta | None
    ending: str | None
    """Why it made nothing, in a sentence."""


def narrate(timeline: Timeline) -> Story:
    """The story of a timeline."""
    job = timeline.job
    return Story(
        moments=_chain(timeline.events),
        pictures=_pictures(timeline),
        calls=tuple(
            Call(step.item, attempt, attempt.ended_at - attempt.started_at if attempt.ended_at else None)
            for step in timeline.steps
            for attempt in step.attempts
        ),
        bookings=tuple(_booking(transaction) for transaction in timeline.ledger),
        took=job.finished_at - job.created_at if job.finished_at else None,
        ending=_ending(job),
    )


def event_name(wire_type: str) -> str:
    """``atelier.billing.credits-held.v1`` -> ``credits-held``."""
    parts = wire_type.split(".")
    return parts[2] if len(parts) == 4 else wire_type


def _chain(journal: Sequence[EventView]) -> tuple[Moment, ...]:
    events = _by_cause(journal)
    rows = {event.id: row for row, event in enumerate(events)}
    causes = [rows.get(event.causation_id or "") for event in events]
    braids = lanes.weave([event.service for event in events], causes)
    start = min((event.time for event in events), default=None)
    return tuple(
        Moment(
            event=event,
            title=wording.event_title(name := event_name(event.type)),
            sentence=wording.event_sentence(name, event.data),
            since_start=event.time - (start or event.time),
            cause=None if cause is None else events[cause].seq,
            braid=braid,
        )
        for event, cause, braid in zip(events, causes, braids, strict=True)
    )


def _by_cause(journal: Sequence[EventView]) -> list[EventView]:
    """In the order of time, but no effect before its cause: topics overtake each other, and clocks differ."""
    waiting = sorted(journal, key=lambda event: (event.time, event.seq))
    missing = {event.id for event in waiting}
    told: list[EventView] = []
    while waiting:
        # a circle of causes cannot be; if one came in anyway it is told as it came
        event = next((event for event in waiting if event.causation_id not in missing), waiting[0])
        waiting.remove(event)
        missing.discard(event.id)
        told.append(event)
    return told


def _pictures(timeline: Timeline) -> tuple[Picture, ...]:
    """One for each item that was asked for, or that something is known of."""
    job = timeline.job
    of_the_job = {item.item: Step(**item.model_dump()) for item in job.items}  # stays when the journal goes
    steps = of_the_job | {step.item: step for step in timeline.steps}
    ended = job.finished_at is not None
    pictures = []
    for item in sorted(steps.keys() | set(range(job.input["n"] or 1))):
        step = steps.get(item)
        kept = step is not None and (step.stored_at is not None or step.outcome == "delivered")
        failure = None
        if ended and not kept:
            failure = wording.failure_sentence(step.failure, step.detail) if step and step.failure else "Not made."
        pictures.append(
            Picture(item, step.asset_id if step and kept else None, failure, fallback=bool(step and step.fallback))
        )
    return tuple(pictures)


def _booking(transaction: LedgerTransaction) -> Booking:
    sums: dict[str, int] = {}
    for line in transaction.lines:
        sums[line.account] = sums.get(line.account, 0) + line.amount
    title = BOOKINGS.get(transaction.kind) or wording.humanized(transaction.kind)
    return Booking(title, tuple((account, amount) for account, amount in sums.items() if amount))


def _ending(job: JobView) -> str | None:
    failure = job.failure
    if failure is None:
        return None
    if failure.code == "insufficient_credits" and failure.needed is not None and failure.available is not None:
        return wording.shortage(needed=failure.needed, available=failure.available)
    return wording.failure_sentence(failure.code, failure.detail)
