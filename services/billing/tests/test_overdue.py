"""A hold that outlives its deadline is called out until the job ends."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from billing.app import build
from billing.settings import BillingSettings
from kit import invariants, testing
from kit.service import Service
from kit.testing import emitted, eventually, records
from shared.events import HoldOverdue


@pytest.fixture
async def billing(stack: testing.Stack) -> AsyncIterator[Service]:
    """Billing with a grace so short that it is called impatient, of which only the timer runs."""
    grace = timedelta(milliseconds=50)
    async with testing.service("billing", BillingSettings, build, stack, hold_grace=grace) as service:
        service.roles = frozenset({"worker"})
        yield service
        assert await invariants.check(service.db, service.all_invariants) == []


async def overdue(service):
    return [event for event in await emitted(service.db) if isinstance(event, HoldOverdue)]


class TestOverdue:
    async def test_an_overdue_hold_is_called_out_again_until_its_job_ends(self, billing, make, account_id, hold_of):
        job = make.requested(account_id, deadline=datetime.now(UTC) - timedelta(seconds=1))
        await billing.edge.handle(records(job))

        async with billing.running():
            first, _ = await eventually(lambda: _at_least(billing, 2))
            await billing.edge.handle(records(make.job_failed(job)))
            ended = await hold_of(job.job_id)

        assert (first.job_id, first.account_id, first.amount) == (job.job_id, account_id, 4_000)
        assert first.deadline == job.deadline
        assert first.envelope.causation_id == job.envelope.id
        assert (ended["state"], ended["due_at"], ended["released"]) == ("settled", None, 4_000)

    async def test_a_hold_within_its_deadline_is_left_alone(self, billing, make, account_id):
        patient = make.requested(account_id)
        late = make.requested(account_id, deadline=datetime.now(UTC) - timedelta(seconds=1))
        await billing.edge.handle(records(patient, late))

        async with billing.running():
            called = await eventually(lambda: _at_least(billing, 1))

        assert {event.job_id for event in called} == {late.job_id}


async def _at_least(service, count):
    events = await overdue(service)
    return events[:count] if len(events) >= count else None
