"""Steps: how the items of a job come to be, and every way their rows change.

Each function is one statement for many rows, and its caller holds the locks of the runs. A closed step is final: what
arrives for it later is recorded without changing how the item ended.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, Row, bindparam, case, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from generation.models import OPEN, StepState, attempts, steps
from generation.pictures import Picture
from kit.database import ReadSession, WriteSession
from kit.leases import LeaseWorker, finished, retry_after
from kit.sql import among, rows_of
from shared.contract import Event
from shared.events import AssetRejected, AssetStored
from shared.failures import FailureClass
from shared.ids import new_id
from shared.jobs import ImageInput

SLICE_MILLISECONDS = 100
"""How far apart the turns of one account's items lie: its hundredth waits behind others' next ten seconds."""

# start-time fair queueing: an account's next turn is now, or behind its own last one
_TAKE_TURNS = text(
    "INSERT INTO account_turns AS known (account_id, next_turn)"
    " SELECT account, extract(epoch FROM now())::bigint * 1000 + count * :slice"
    " FROM unnest(CAST(:accounts AS text[]), CAST(:counts AS bigint[])) AS wanted (account, count) ORDER BY account"
    " ON CONFLICT (account_id) DO UPDATE SET next_turn = greatest(excluded.next_turn, known.next_turn +"
    " excluded.next_turn - extract(epoch FROM now())::bigint * 1000)"
    " RETURNING account_id, next_turn"
)

_WITH_PROVIDER = exists().where(attempts.c.step_id == steps.c.id, attempts.c.ended_at.is_(None))


@dataclass(frozen=True, slots=True)
class Item:
    """One picture that is to be made, and where it will lie."""

    step_id: str
    job_id: str
    account_id: str
    number: int
    asset_id: str
    object_key: str
    model: str
    input: ImageInput


@dataclass(frozen=True, slots=True)
class Close:
    """An item that ends without a picture."""

    step_id: str
    state: StepState
    failure: FailureClass


@dataclass(frozen=True, slots=True)
class Delay:
    """An item that is tried again later. ``resting``: it waits for its model, not for a repeat of its own."""

    step_id: str
    seconds: float
    failure: FailureClass
    resting: bool


def object_key(*, account_id: str, job_id: str, item: int, asset_id: str) -> str:
    """Where the picture of an item lies, now and for ever."""
    return f"{account_id}/{job_id}/{item}-{asset_id}.png"


async def plan(
    session: WriteSession, worker: LeaseWorker, started: Sequence[Row[Any]], *, model: str, causes: Mapping[str, Event]
) -> set[str]:
    """Insert the steps of runs that start. Returns the jobs of which storage told before: their steps are there."""
    known = await _items_of(session, [run.job_id for run in started])
    missing = [
        (run, item) for run in started for item in range(len(run.item_prices)) if (run.job_id, item) not in known
    ]
    turns = await _take_turns(session, [run.account_id for run, _ in missing])
    rows: list[dict[str, Any]] = []
    for (run, item), turn in zip(missing, turns, strict=True):
        asset_id, cause = new_id("ast"), causes[run.job_id]
        key = object_key(account_id=run.account_id, job_id=run.job_id, item=item, asset_id=asset_id)
        rows.append(
            {
                "id": new_id("stp"),
                "job_id": run.job_id,
                "item": item,
                "asset_id": asset_id,
                "object_key": key,
                "model": model,
                "turn": turn,
                "causation_id": cause.envelope.id,
                "traceparent": cause.envelope.traceparent,
            }
        )
    if rows:
        await worker.insert(session, rows)
    return {job_id for job_id, _ in known}


async def _items_of(session: WriteSession, job_ids: Iterable[str]) -> set[tuple[str, int]]:
    found = await session.execute(select(steps.c.job_id, steps.c.item).where(among(steps.c.job_id, job_ids)))
    return {(row.job_id, row.item) for row in found}


async def _take_turns(session: WriteSession, accounts: Sequence[str]) -> list[int]:
    """One turn per wanted item, in order."""
    counts: defaultdict[str, int] = defaultdict(int)
    for account in accounts:
        counts[account] += 1
    values = {"accounts": list(counts), "counts": list(counts.values()), "slice": SLICE_MILLISECONDS}
    taken = await session.execute(_TAKE_TURNS, values)
    turns = {row.account_id: row.next_turn - counts[row.account_id] * SLICE_MILLISECONDS for row in taken}
    result = []
    for account in accounts:
        result.append(turns[account])
        turns[account] += SLICE_MILLISECONDS
    return result


async def of_jobs(session: ReadSession | WriteSession, job_ids: Iterable[str]) -> dict[str, list[Row[Any]]]:
    """The steps of each job, in the order of their items."""
    found = await session.execute(
        select(steps).where(among(steps.c.job_id, job_ids)).order_by(steps.c.job_id, steps.c.item)
    )
    grouped: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in found:
        grouped[row.job_id].append(row)
    return grouped


async def lock(session: WriteSession, step_ids: Iterable[str]) -> dict[str, Row[Any]]:
    """Lock steps; each row also tells the database's time as ``at`` and whether its lease is ``leased`` still."""
    leased = (func.coalesce(steps.c.leased_until > func.now(), False)).label("leased")
    query = select(steps, func.now().label("at"), leased).where(among(steps.c.id, step_ids)).order_by(steps.c.id)
    return {row.id: row for row in await session.execute(query.with_for_update(key_share=True))}


async def close(session: WriteSession, closing: Sequence[Close]) -> None:
    """End items without a picture."""
    await _each(
        session,
        update(steps).values(state=bindparam("b_state"), failure=bindparam("b_failure"), **finished()),
        [{"b_id": step.step_id, "b_state": step.state, "b_failure": step.failure} for step in closing],
    )


async def defer(session: WriteSession, delays: Sequence[Delay]) -> None:
    """Give items back until their time."""
    seconds: Any = bindparam("b_seconds")
    first = case((bindparam("b_resting", type_=Boolean), func.now()), else_=None)
    since = func.coalesce(steps.c.resting_since, first)
    await _each(
        session,
        update(steps).values(failure=bindparam("b_failure"), resting_since=since, **retry_after(seconds)),
        [
            {"b_id": step.step_id, "b_seconds": step.seconds, "b_failure": step.failure, "b_resting": step.resting}
            for step in delays
        ],
    )


async def fall_back(session: WriteSession, falling: Sequence[tuple[str, FailureClass]]) -> None:
    """From now on these items are made locally; they keep their leases and the reason."""
    await _each(
        session,
        update(steps).values(fallback=True, failure=bindparam("b_failure")),
        [{"b_id": step_id, "b_failure": failure} for step_id, failure in falling],
    )


async def produce(session: WriteSession, made: Sequence[tuple[str, Picture]]) -> None:
    """The pictures of open items lie in S3."""
    await _each(
        session,
        update(steps).values(state=StepState.PRODUCED, sha256=bindparam("b_sha256"), **finished()),
        _hashes(made),
    )


async def keep_late(session: WriteSession, made: Sequence[tuple[str, Picture]]) -> None:
    """Pictures that came after their item was closed."""
    await _each(
        session,
        update(steps).values(sha256=bindparam("b_sha256"), **finished()),
        _hashes(made),
    )


async def release(session: WriteSession, step_ids: Sequence[str]) -> None:
    """Nothing is left to do for these."""
    if step_ids:
        await session.execute(update(steps).where(among(steps.c.id, step_ids)).values(**finished()))


async def cancel_pending(session: WriteSession, job_ids: Sequence[str]) -> None:
    """Close what no provider has."""
    pending = among(steps.c.job_id, job_ids) & (steps.c.state == StepState.PENDING) & ~_WITH_PROVIDER
    closed = {"state": StepState.CANCELLED, "failure": FailureClass.CANCELLED, **finished()}
    await session.execute(update(steps).where(pending).values(**closed))


async def give_up(session: WriteSession, job_ids: Sequence[str]) -> None:
    """The time of these jobs is over. Whoever holds an open call may still bring its picture, late.

    A picture that lies in S3 was made in time: its item stays open until storage has answered for it.
    """
    mine = among(steps.c.job_id, job_ids)
    asked_for_patience = steps.c.failure == FailureClass.RATE_LIMITED
    reason = case((asked_for_patience, FailureClass.RATE_LIMITED), else_=FailureClass.DEADLINE)
    pending = mine & (steps.c.state == StepState.PENDING)
    await session.execute(
        update(steps).where(pending & ~_WITH_PROVIDER).values(state=StepState.FAILED, failure=reason, **finished())
    )
    late = {"state": StepState.FAILED, "failure": FailureClass.DEADLINE}
    await session.execute(update(steps).where(pending & _WITH_PROVIDER).values(**late))


async def awaiting_storage(session: WriteSession, job_ids: Sequence[str]) -> set[str]:
    """Those of the jobs that have a picture in S3 for which storage has not answered."""
    produced = among(steps.c.job_id, job_ids) & (steps.c.state == StepState.PRODUCED)
    return set(await session.scalars(select(steps.c.job_id).where(produced)))


async def store(session: WriteSession, events: Sequence[AssetStored]) -> None:
    """Storage has the pictures. A step that is not known yet is made from what storage tells.

    After a restore a step may have been planned anew, under another asset: storage's is the one that exists.
    """
    rows = [
        {
            **_from_storage(event),
            "state": StepState.STORED,
            "sha256": event.sha256,
            "fallback": event.source == "fallback",
        }
        for event in events
    ]
    await _told(session, rows, ("asset_id", "object_key", "state", "sha256", "fallback"))


async def reject(session: WriteSession, events: Sequence[AssetRejected]) -> None:
    """Storage could not take the pictures."""
    rows = [
        {
            **_from_storage(event),
            "state": StepState.FAILED,
            "failure": FailureClass.STORAGE_REJECTED,
        }
        for event in events
    ]
    await _told(session, rows, ("state", "failure"))


def _from_storage(event: AssetStored | AssetRejected) -> dict[str, Any]:
    assert event.job_id is not None
    assert event.item is not None
    key = object_key(account_id=event.account_id, job_id=event.job_id, item=event.item, asset_id=event.asset_id)
    return {
        "id": new_id("stp"),
        "job_id": event.job_id,
        "item": event.item,
        "asset_id": event.asset_id,
        "object_key": key,
        "model": "",
    }


async def _told(session: WriteSession, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    unique = {(row["job_id"], row["item"]): row for row in rows}
    statement = insert(steps).from_select(*rows_of(steps, [unique[key] for key in sorted(unique)]))
    await session.execute(
        statement.on_conflict_do_update(
            constraint="steps_item",
            set_={**{column: statement.excluded[column] for column in columns}, **finished()},
            where=steps.c.state.in_(OPEN),
        )
    )


async def _each(session: WriteSession, statement: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Run an update for each row, by id, in one round trip."""
    if rows:
        ordered = sorted(rows, key=lambda row: str(row["b_id"]))
        await session.execute(statement.where(steps.c.id == bindparam("b_id")), ordered)


def _hashes(made: Sequence[tuple[str, Picture]]) -> list[dict[str, Any]]:
    return [{"b_id": step_id, "b_sha256": picture.sha256} for step_id, picture in made]
