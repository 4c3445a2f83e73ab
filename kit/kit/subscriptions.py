"""What a service listens to: an event class, its handler and an optional filter, listed in ``app.py``."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from kit.database import WriteSession
from shared.contract import Event, Topic

E = TypeVar("E", bound=Event)
Handler = Callable[[WriteSession, list[E]], Awaitable[None]]


class Record(Protocol):
    """A Kafka record, or a dead letter that is replayed."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def headers(self) -> Iterable[tuple[str, bytes]]: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """Events of one class go to ``handler`` in batches; those for which ``where`` is false are ignored."""

    event: type[Event]
    handler: Handler[Any]
    where: Callable[[Any], bool] | None = None


def on(event: type[E], handler: Handler[E], *, where: Callable[[E], bool] | None = None) -> Subscription:
    """Subscribe ``handler`` to ``event``; the types of both are checked against each other."""
    return Subscription(event, handler, where)


def by_wire_type(subscriptions: Iterable[Subscription]) -> Mapping[str, Subscription]:
    """Index by wire type. Raises ValueError when a type has two handlers."""
    index: dict[str, Subscription] = {}
    for subscription in subscriptions:
        if subscription.event.wire_type in index:
            raise ValueError(f"{subscription.event.wire_type} is subscribed twice")
        index[subscription.event.wire_type] = subscription
    return index


def topics_of(subscriptions: Iterable[Subscription]) -> tuple[Topic, ...]:
    """The topics that these subscriptions read, each once."""
    return tuple({subscription.event.topic: None for subscription in subscriptions})
