"""The read model: what the other services tell of jobs and wallets, as gateway shows it.

One path for every event: lock the rows of the jobs in id order, number the events, apply what each event says to its
own columns; a row that says the same as before is only locked. A status moves forward only and a wallet keeps its
highest version, so the order of arrival makes no difference to what is shown in the end. After the commit the job's
live streams are woken.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import bindparam, select, text, update

from gateway import journal
from gateway.models import TERMINAL, jobs
from kit.database import WriteSession, after_commit
from kit.signals import Signals
from kit.sql import among, lock_rows
from shared.contract import Event
from shared.events import CreditsHeld, CreditsRefused, CreditsSettled, DeliveryFailed, DeliverySucceeded
from shared.events.generation import Terminal
from shared.ids import created_at

E = TypeVar("E", bound=Event)
Row = Mapping[str, Any]
Columns = dict[str, Any]
Change = Callable[[Row, E], Columns]
"""What an event sets in the row of its job; gets the row as it is."""

RANK = {"queued": 0, "running": 1, **dict.fromkeys(TERMINAL, 2)}
_ACCOUNT = attrgetter("account_id")  # of every event that is noted
_STATE = (jobs.c.id, jobs.c.status, jobs.c.rank, jobs.c.delivery)

_INSERT_STUBS = text(
    "INSERT INTO jobs (id, account_id, created_at)"
    " SELECT * FROM unnest(CAST(:jobs AS text[]), CAST(:accounts AS text[]), CAST(:moments AS timestamptz[]))"
    " ON CONFLICT DO NOTHING"
)
_KEEP_HIGHEST = text(
    "INSERT INTO balances AS b (account_id, available, held, version)"
    " SELECT * FROM unnest(CAST(:accounts AS text[]), CAST(:available AS bigint[]), CAST(:held AS bigint[]),"
    " CAST(:versions AS bigint[]))"
    " ON CONFLICT (account_id) DO UPDATE SET available = excluded.available, held = excluded.held,"
    " version = excluded.version WHERE b.version < excluded.version"
)


async def lock_jobs(session: WriteSession, events: Sequence[Event]) -> None:
    """Lock the known jobs of a batch, in id order."""
    job_ids = {event.correlation_id for event in events if event.correlation_id is not None}
    await lock_rows(session, jobs.c.id, job_ids)


async def project(session: WriteSession, events: Sequence[E], signals: Signals, *, change: Change[E]) -> None:
    """Add events to the journals of their jobs and apply them."""
    state = await _lock(session, events)
    last = await journal.last_seqs(session, state)
    changes: dict[str, Columns] = defaultdict(dict)
    entries = []
    for event in events:
        row = state[_job_of(event)]
        last[row["id"]] += 1
        entries.append(journal.entry(event, job_id=row["id"], seq=last[row["id"]]))
        if changed := change(row, event):
            changes[row["id"]] |= changed
            row |= changed
    await journal.write(session, entries)
    await _update(session, changes)
    wake = [(job_id, {"type": "event", "finished": row["status"] in TERMINAL}) for job_id, row in state.items()]
    after_commit(session, lambda: signals.send(*wake))


async def keep_balances(session: WriteSession, wallets: Sequence[tuple[str, int, int, int]]) -> None:
    """Note ``(account, available, held, version)`` of wallets, each unless something newer is known."""
    newest = {wallet[0]: wallet for wallet in sorted(wallets, key=lambda wallet: wallet[3])}
    accounts, available, held, versions = zip(*(newest[account] for account in sorted(newest)), strict=True)
    await session.execute(
        _KEEP_HIGHEST, {"accounts": accounts, "available": available, "held": held, "versions": versions}
    )


def nothing(_row: Row, _event: Event) -> Columns:
    """The event stands in the journal only."""
    return {}


def held(row: Row, event: CreditsHeld) -> Columns:
    """Work may start."""
    return {"held": event.amount, **_advance(row, "running")}


def settled(_row: Row, event: CreditsSettled) -> Columns:
    """The money is final."""
    return {"captured": event.captured, "released": event.released}


def credits_refused(_row: Row, _event: CreditsRefused) -> Columns:
    """No money moves. A job that is cancelled or late may have ended before."""
    return {"captured": 0, "released": 0}


def ended(row: Row, event: Terminal) -> Columns:
    """The job has its outcome; the first one stays."""
    if not (advanced := _advance(row, event.status)):
        return {}
    told = event.model_dump(mode="json")
    reasons = {name: told.get(name) for name in ("failure", "detail", "needed", "available")}
    return {**advanced, **reasons, "items": told["items"], "finished_at": event.finished_at}


def delivered(row: Row, event: DeliverySucceeded | DeliveryFailed) -> Columns:
    """The outcome has reached its receiver, or not; one that failed may succeed when it is made again."""
    if row["delivery"] == "succeeded":
        return {}
    state = "succeeded" if isinstance(event, DeliverySucceeded) else "failed"
    return {"delivery": state, "delivery_id": event.delivery_id}


def _advance(row: Row, status: str) -> Columns:
    rank = RANK[status]
    return {"status": status, "rank": rank} if rank > row["rank"] else {}


def _job_of(event: Event) -> str:
    job_id = event.correlation_id
    assert job_id is not None, f"{event.wire_type} belongs to no job: subscribe to it with where="
    return job_id


async def _lock(session: WriteSession, events: Sequence[Event]) -> dict[str, Columns]:
    """The rows of these events' jobs, locked in id order; a job that gateway does not know (any more) gets a stub."""
    owners = {_job_of(event): _ACCOUNT(event) for event in events}
    locked = await _select(session, owners)
    if missing := sorted(owners.keys() - locked.keys()):
        stubs = {
            "jobs": missing,
            "accounts": [owners[job_id] for job_id in missing],
            "moments": [created_at(job_id) for job_id in missing],
        }
        await session.execute(_INSERT_STUBS, stubs)
        locked = await _select(session, owners)
    return locked


async def _select(session: WriteSession, job_ids: Iterable[str]) -> dict[str, Columns]:
    query = select(*_STATE).where(among(jobs.c.id, job_ids)).order_by(jobs.c.id).with_for_update()
    return {row["id"]: dict(row) for row in (await session.execute(query)).mappings()}


async def _update(session: WriteSession, changes: Mapping[str, Columns]) -> None:
    """One statement per set of columns; the events of one call change one or two such sets."""
    groups: dict[tuple[str, ...], list[Columns]] = defaultdict(list)
    for job_id in sorted(changes):
        columns = changes[job_id]
        groups[tuple(sorted(columns))].append({**columns, "job": job_id})
    for rows in groups.values():
        await session.execute(update(jobs).where(jobs.c.id == bindparam("job")), rows)
