"""The timeline of a job, told from its journal alone: terminal and settlement events carry what happened elsewhere."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from gateway.schemas import (
    Attempt,
    EventView,
    JobView,
    LedgerEntry,
    LedgerTransaction,
    Step,
    Timeline,
    TimelineDelivery,
)
from shared.contract import Event
from shared.events import (
    ArtifactProduced,
    AssetRejected,
    AssetStored,
    CreditsHeld,
    CreditsSettled,
    DeliveryFailed,
    DeliverySucceeded,
)
from shared.events.generation import ENDS


def tell(job: JobView, events: Sequence[EventView]) -> Timeline:
    """The timeline of a job."""
    return Timeline(
        job=job,
        events=list(events),
        steps=_steps(events),
        ledger=_ledger(events),
        deliveries=[_delivery(event) for event in _of(events, DeliverySucceeded, DeliveryFailed)],
    )


def _of(events: Sequence[EventView], *classes: type[Event]) -> list[EventView]:
    wanted = {event_class.wire_type for event_class in classes}
    return [event for event in events if event.type in wanted]


def _steps(events: Sequence[EventView]) -> list[Step]:
    steps: dict[int, dict[str, Any]] = defaultdict(dict)
    for event in _of(events, ArtifactProduced):
        told = {name: event.data[name] for name in ("step_id", "asset_id", "recipe", "fallback", "late")}
        steps[event.data["item"]] |= {**told, "produced_at": event.time}
    for event in _of(events, AssetStored):
        steps[event.data["item"]] |= {"asset_id": event.data["asset_id"], "stored_at": event.time}
    for event in _of(events, AssetRejected):
        steps[event.data["item"]] |= {"rejected": event.data["code"], "detail": event.data["detail"]}
    for event in _of(events, *ENDS):
        _close(steps, event.data)
    return [Step(item=item, **steps[item]) for item in sorted(steps)]


def _close(steps: dict[int, dict[str, Any]], outcome: dict[str, Any]) -> None:
    """What a terminal event tells of each item."""
    for item in outcome["items"]:
        told = {name: item[name] for name in ("outcome", "price", "failure", "detail", "asset_id", "fallback")}
        steps[item["item"]] |= {name: value for name, value in told.items() if value is not None}
    for attempt in outcome["attempts"]:
        steps[attempt["item"]].setdefault("attempts", []).append(Attempt.model_validate(attempt))


def _ledger(events: Sequence[EventView]) -> list[LedgerTransaction]:
    transactions = [
        LedgerTransaction(
            kind="hold",
            time=event.time,
            lines=[
                LedgerEntry(account="customer.available", amount=-event.data["amount"]),
                LedgerEntry(account="customer.held", amount=event.data["amount"]),
            ],
        )
        for event in _of(events, CreditsHeld)
    ]
    transactions += [
        LedgerTransaction(
            kind="settle",
            time=event.time,
            lines=[LedgerEntry.model_validate(line) for line in event.data["entries"]],
        )
        for event in _of(events, CreditsSettled)
    ]
    return transactions


def _delivery(event: EventView) -> TimelineDelivery:
    state = "succeeded" if event.type == DeliverySucceeded.wire_type else "failed"
    return TimelineDelivery(state=state, **event.data)
