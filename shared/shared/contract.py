"""What an event is: a frozen pydantic model that knows its topic, key and wire type.

The wire type is built from the class (``CreditsHeld`` on ``billing.credits`` becomes
``atelier.billing.credits-held.v1``), never typed by hand. Events travel as CloudEvents 1.0 in Kafka
binary mode: attributes in ``ce_*`` headers, the data alone in the value.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.ids import uuid7

CONTENT_TYPE = "application/json"
SPEC_VERSION = "1.0"
HEADERS = frozenset(
    {
        *("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_subject", "ce_time"),
        *("ce_correlationid", "ce_causationid", "traceparent"),
    }
)


@dataclass(frozen=True, slots=True)
class Topic:
    """One writer, one kind of thing. ``key`` names the event field that is the Kafka key.

    The number of partitions is never changed: keys would move between partitions and lose their order.
    """

    name: str
    key: str
    partitions: int = 12
    retention_days: int = 7
    min_insync_replicas: int = 2  # capped by the replication factor of the cluster

    @property
    def owner(self) -> str:
        """The service that alone writes to this topic."""
        return self.name.partition(".")[0]


class UndecodableError(ValueError):
    """A record that is not a CloudEvent of ours; retrying cannot help."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """CloudEvents attributes of one event. ``correlation_id`` is the job, ``causation_id`` the event that led here."""

    id: str
    type: str
    source: str
    subject: str
    time: datetime
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None

    def headers(self) -> list[tuple[str, bytes]]:
        """Kafka headers in CloudEvents binary mode."""
        values = {
            "ce_specversion": SPEC_VERSION,
            "ce_id": self.id,
            "ce_type": self.type,
            "ce_source": self.source,
            "ce_subject": self.subject,
            "ce_time": self.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "ce_correlationid": self.correlation_id,
            "ce_causationid": self.causation_id,
            "traceparent": self.traceparent,
            "content-type": CONTENT_TYPE,
        }
        return [(name, value.encode()) for name, value in values.items() if value is not None]

    @classmethod
    def from_headers(cls, headers: Iterable[tuple[str, bytes]]) -> Self:
        """Read an envelope back. Raises UndecodableError when a required attribute is missing or malformed.

        Headers that are not ours may hold anything.
        """
        try:
            values = {name: value.decode() for name, value in headers if name in HEADERS}
            return cls(
                id=values["ce_id"],
                type=values["ce_type"],
                source=values["ce_source"],
                subject=values.get("ce_subject", ""),
                time=datetime.fromisoformat(values["ce_time"]).astimezone(UTC),
                correlation_id=values.get("ce_correlationid"),
                causation_id=values.get("ce_causationid"),
                traceparent=values.get("traceparent"),
            )
        except KeyError as error:
            raise UndecodableError(f"the record has no header {error}") from error
        except (ValueError, AttributeError) as error:
            raise UndecodableError(f"a header of the record cannot be read: {error}") from error


def faults(error: ValidationError) -> str:
    """What was wrong where, without the input, which may be personal: errors are logged and stored."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'data'}: {fault['msg']}"
        for fault in error.errors(include_input=False, include_url=False, include_context=False)
    )


def personal(**extra: Any) -> dict[str, Any]:
    """``json_schema_extra`` of a field that holds personal data."""
    return {"x-personal-data": True, **extra}


class Event(BaseModel):
    """Base of every event. Unknown fields are ignored, so that producers may add fields inside a version."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    __slots__ = ("_envelope",)  # a private attribute of pydantic costs ten times as much at every look

    topic: ClassVar[Topic]
    wire_type: ClassVar[str]
    version: ClassVar[int] = 1

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "topic" not in cls.__dict__ and not hasattr(cls, "topic"):
            return
        name = re.sub(r"V\d+$", "", cls.__name__)
        kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
        cls.wire_type = f"atelier.{cls.topic.owner}.{kebab}.v{cls.version}"

    @property
    def key(self) -> str:
        """The Kafka key: the id of the thing this event is about."""
        return str(getattr(self, self.topic.key))

    @property
    def correlation_id(self) -> str | None:
        """The job this event belongs to, if any."""
        return getattr(self, "job_id", None)

    @property
    def envelope(self) -> Envelope:
        """The attributes this event arrived or was emitted with."""
        try:
            envelope: Envelope = object.__getattribute__(self, "_envelope")
        except AttributeError:
            raise LookupError(f"{type(self).__name__} was neither emitted nor received yet") from None
        return envelope

    def with_envelope(self, envelope: Envelope) -> Self:
        """Attach the envelope; used by the edges of a service."""
        object.__setattr__(self, "_envelope", envelope)
        return self

    def stamp(
        self,
        *,
        event_id: UUID | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
        now: datetime | None = None,
    ) -> Self:
        """Give the event its id (a new one when none is given) and time, just before it is stored in the outbox."""
        return self.with_envelope(
            Envelope(
                id=str(event_id or uuid7()),
                type=self.wire_type,
                source=f"/atelier/{self.topic.owner}",
                subject=self.key,
                time=now or datetime.now(UTC),
                correlation_id=self.correlation_id,
                causation_id=causation_id,
                traceparent=traceparent,
            )
        )

    @classmethod
    def decode(cls, value: bytes, envelope: Envelope) -> Self:
        """Parse the data of a record. Raises UndecodableError that names the faults."""
        try:
            return cls.model_validate_json(value).with_envelope(envelope)
        except ValidationError as error:
            raise UndecodableError(f"{cls.wire_type} cannot be read: {faults(error)}") from None
