"""One Stripe account: its objects, its clock, and the one way to change them.

A :class:`Change` collects what one request does and reaches the account and its journal as a whole, or not at all.
Objects are plain JSON and never altered in place; keys that begin with `_` are the twin's own and never shown.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from twins.stripe import errors
from twins.stripe.delivery_rules import DeliveryRule
from twins.stripe.ids import new_id

API_VERSION = "2026-10-28.endive"

Object = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """The stored outcome of an idempotency key."""

    key: str
    path: str
    params_sha256: str
    request_id: str
    status: int
    body: Object
    at: int


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one endpoint. `state`: pending, delivered, failed."""

    id: str
    event: str
    endpoint: str
    state: str = "pending"
    attempts: int = 0
    # What happened at each attempt: a status, or a word.
    outcomes: tuple[str, ...] = ()


@dataclass
class Account:
    """`id` is made from the secret key's fingerprint, so every key has an account of its own."""

    id: str
    objects: dict[str, Object] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    clock_offset: int = 0
    delivery_rules: list[DeliveryRule] = field(default_factory=list)
    # Idempotency keys of requests that are being answered right now.
    busy_keys: set[str] = field(default_factory=set)

    def now(self) -> int:
        return int(time.time()) + self.clock_offset

    def all(self, kind: str) -> list[Object]:
        """The objects of one kind that were not deleted, newest first."""
        return list(_of_kind(kind, self.objects))

    def deliveries_of(self, event_id: str) -> list[Delivery]:
        return [delivery for delivery in self.deliveries.values() if delivery.event == event_id]


class Change:
    """Everything one request, page or step of the clock does to an account, not yet on file."""

    def __init__(
        self,
        account: Account,
        *,
        request_id: str | None = None,
        idempotency_key: str | None = None,
        pages_url: str = "",
    ) -> None:
        self.account = account
        # Where the hosted pages are, as this caller reaches them.
        self.pages_url = pages_url
        self.now = account.now()
        self.objects: dict[str, Object] = {}
        self.deliveries: list[Delivery] = []
        self.answer: Answer | None = None
        self.clock_offset: int | None = None
        self._request = {"id": request_id, "idempotency_key": idempotency_key}

    @property
    def empty(self) -> bool:
        return not (self.objects or self.answer or self.deliveries or self.clock_offset is not None)

    def get(self, object_id: str) -> Object:
        """An object that is known to exist."""
        return self.objects.get(object_id) or self.account.objects[object_id]

    def find(self, kind: str, object_id: str, *, param: str = "id") -> Object:
        """An object that a caller named. Raises StripeError when there is none of this kind."""
        found = self.objects.get(object_id) or self.account.objects.get(object_id)
        if found is None or found["object"] != kind or found.get("deleted"):
            raise errors.no_such(kind, object_id, param=param)
        return found

    def all(self, kind: str) -> Iterator[Object]:
        """The objects of one kind as this change leaves them, newest first."""
        return _of_kind(kind, self.account.objects | self.objects)

    def put(self, item: Object) -> Object:
        self.objects[item["id"]] = item
        return item

    def update(self, object_id: str, **fields: Any) -> Object:
        return self.put(self.get(object_id) | fields)

    def emit(self, type_: str, item: Object, *, previous: Object | None = None) -> None:
        """Put an event with a snapshot of the object on file, and one delivery per endpoint that listens."""
        data: Object = {"object": shown(item)}
        if previous is not None:
            data["previous_attributes"] = _differences(previous, item)
        event: Object = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now,
            "data": data,
            "livemode": False,
            "request": dict(self._request),
            "type": type_,
        }
        self.put(event)
        self._deliver(event, (endpoint for endpoint in self.all("webhook_endpoint") if _listens(endpoint, type_)))

    def resend(self, event_id: str) -> None:
        """Send an event again to every endpoint, whatever became of it before. Raises StripeError."""
        self._deliver(self.find("event", event_id), self.all("webhook_endpoint"))

    def _deliver(self, event: Object, endpoints: Iterable[Object]) -> None:
        self.deliveries += [Delivery(new_id("dlv"), event["id"], endpoint["id"]) for endpoint in endpoints]


def shown(item: Object) -> Object:
    """An object as a caller sees it: without the twin's own keys."""
    return {key: value for key, value in item.items() if not key.startswith("_")}


def _of_kind(kind: str, objects: dict[str, Object]) -> Iterator[Object]:
    return (item for item in reversed(objects.values()) if item["object"] == kind and not item.get("deleted"))


def _listens(endpoint: Object, type_: str) -> bool:
    return endpoint["status"] == "enabled" and bool({"*", type_} & set(endpoint["enabled_events"]))


def _differences(before: Object, after: Object) -> Object:
    earlier = shown(before)
    return {key: earlier.get(key) for key, value in shown(after).items() if earlier.get(key) != value}
