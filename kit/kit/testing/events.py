"""Events as the edge sees them, and as the outbox holds them."""

import itertools
import json
from dataclasses import dataclass, field

from sqlalchemy import select

from kit.database import Database
from kit.tables import outbox
from shared.contract import Envelope, Event

_offsets = itertools.count()


@dataclass(frozen=True, slots=True)
class FakeRecord:
    """A Kafka record that no broker has seen."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    partition: int = 0
    offset: int = field(default_factory=lambda: next(_offsets))


def records(*events: Event) -> list[FakeRecord]:
    """Records of events, in order; events without an envelope are stamped, the others keep their id (duplicates)."""
    for event in events:
        try:
            _ = event.envelope
        except LookupError:
            event.stamp()
    return [
        FakeRecord(event.topic.name, event.key.encode(), event.model_dump_json().encode(), event.envelope.headers())
        for event in events
    ]


async def emitted(db: Database) -> list[Event]:
    """The events that wait in the outbox, in the order of emission."""
    classes = {event.wire_type: event for event in _subclasses(Event)}
    async with db.read() as session:
        rows = (await session.execute(select(outbox).order_by(outbox.c.id))).all()
    events = []
    for row in rows:
        headers = row.headers if isinstance(row.headers, dict) else json.loads(row.headers)
        envelope = Envelope.from_headers([(name, value.encode()) for name, value in headers.items()])
        events.append(classes[envelope.type].decode(row.value, envelope))
    return events


def _subclasses(base: type[Event]) -> list[type[Event]]:
    """Every concrete event class that has been imported."""
    return [
        found
        for child in base.__subclasses__()
        for found in (*([child] if hasattr(child, "wire_type") else []), *_subclasses(child))
    ]
