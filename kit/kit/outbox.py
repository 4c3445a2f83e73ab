"""The only way to emit an event: a row beside the change it tells of, in the same transaction.

:func:`add` collects events; the edge writes them in one statement just before it commits, so ids rise in the order of
the calls. Before an event is added, the row that is the event's key must be locked by the caller: that is what keeps
the events of one key in order across transactions.
"""

from uuid import UUID

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.database import ReadSession, WriteSession
from kit.sql import affected
from kit.tables import outbox
from kit.tracing import current_traceparent
from shared.contract import Event

MAX_VALUE_BYTES = 256 * 1024
MOST_COUNTED = 100_000
"""It is asked at every scrape: what piles up in an outage of hours must not take the database down as well."""
_PENDING = "outbox"


class EventTooLargeError(ValueError):
    """The data of an event exceeds 256 KB; bytes travel by S3, never by Kafka."""


def add(
    session: WriteSession,
    event: Event,
    *,
    cause: Event | str | None = None,
    traceparent: str | None = None,
    event_id: UUID | None = None,
) -> None:
    """Emit ``event`` when this transaction commits.

    ``cause`` is the event (or its id) that led here; its trace goes on unless ``traceparent`` names another. An event
    that may have to be told again has an ``event_id`` that follows from its fact, so that every inbox knows the repeat.
    Raises EventTooLargeError.
    """
    if isinstance(cause, Event):
        traceparent = traceparent or cause.envelope.traceparent
        cause = cause.envelope.id
    event.stamp(event_id=event_id, causation_id=cause, traceparent=traceparent or current_traceparent())
    value = event.model_dump_json().encode()
    if len(value) > MAX_VALUE_BYTES:
        raise EventTooLargeError(f"{event.wire_type} of {event.key} has {len(value)} bytes, the limit is 256 KB")
    session.info.setdefault(_PENDING, []).append(
        {
            "topic": event.topic.name,
            "key": event.key,
            "headers": {name: header.decode() for name, header in event.envelope.headers()},
            "value": value,
        }
    )


async def flush(session: AsyncSession) -> None:
    """Write what was added; registered with the database as a before-commit step."""
    rows = session.info.pop(_PENDING, None)
    if rows:
        await session.execute(insert(outbox), rows)
        session.info["outbox_written"] = len(rows)


async def pending(session: ReadSession) -> tuple[int, float]:
    """How many events wait to be sent, counted up to :data:`MOST_COUNTED`, and the age of the first in seconds."""
    unsent = outbox.c.sent_at.is_(None)
    counted = select(outbox.c.id).where(unsent).limit(MOST_COUNTED).subquery()
    first = select(outbox.c.created_at).where(unsent).order_by(outbox.c.id).limit(1).scalar_subquery()
    row = (
        await session.execute(
            select(
                select(func.count()).select_from(counted).scalar_subquery(), func.extract("epoch", func.now() - first)
            )
        )
    ).one()
    return int(row[0]), float(row[1] or 0.0)


async def resend(session: WriteSession, *, since_seconds: float) -> int:
    """Send kept events of the last ``since_seconds`` again: the tool for a lost topic. Needs ``OUTBOX_KEEP``.

    They get new ids, so that the relay finds them where it looks, in their old order; and wait as of now.
    """
    kept = (
        delete(outbox)
        .where(outbox.c.sent_at > func.now() - func.make_interval(0, 0, 0, 0, 0, 0, since_seconds))
        .returning(outbox)
        .cte()
    )
    columns = ("topic", "key", "headers", "value")
    again = select(*(kept.c[name] for name in columns)).order_by(kept.c.id)
    return await affected(session, insert(outbox).from_select(columns, again))
