"""What was noted of Stripe is forgotten in time, hourly and in small transactions, whether Stripe is there or not."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from billing.payments.tables import stripe_events, stripe_objects

NOW = datetime.now(UTC)
RECENT, OLD = NOW - timedelta(days=89), NOW - timedelta(days=91)


@pytest.fixture
def settings():
    """No key, so no sweep ever asks Stripe for anything."""
    return {}


@pytest.fixture
def forget(billing):
    (retention,) = [worker for worker in billing.all_workers if worker.name == "retention"]
    return lambda: retention.sweep(NOW)


def event(name, *, received_at, outcome="granted"):
    return {
        "id": name,
        "kind": "invoice.paid",
        "object_id": "in_1",
        "source": "webhook",
        "received_at": received_at,
        "outcome": outcome,
        "due_at": None if outcome else received_at,
    }


class TestRetention:
    async def test_events_go_ninety_days_after_they_came_once_they_are_handled(self, billing, rows_of, forget):
        noted = [
            event("evt_old", received_at=OLD),
            event("evt_recent", received_at=RECENT),
            event("evt_waiting", received_at=OLD, outcome=None),
        ]
        async with billing.db.write() as session:
            await session.execute(insert(stripe_events), noted)

        await forget()

        left = [row["id"] for row in await rows_of("stripe_events")]
        async with billing.db.write() as session:
            await session.execute(stripe_events.delete())  # or an invariant would tell of the one that waits
        assert left == ["evt_recent", "evt_waiting"]

    async def test_objects_go_ninety_days_after_stripe_was_asked_for_them(self, billing, rows_of, forget):
        asked = [{"id": "in_old", "fetched_at": OLD}, {"id": "in_recent", "fetched_at": RECENT}]
        async with billing.db.write() as session:
            await session.execute(insert(stripe_objects), asked)

        await forget()

        assert [row["id"] for row in await rows_of("stripe_objects")] == ["in_recent"]
