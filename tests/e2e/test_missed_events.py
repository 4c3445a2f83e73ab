"""Services that miss an event or come late to it: money, jobs and assets agree in the end.

The services run in this process without Kafka, so that a test decides which event reaches whom.
"""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image
from sqlalchemy import text

import billing.app
import generation.app
import storage.app
from billing.settings import BillingSettings
from generation.openai_images import ImageAnswer, OpenAIImages
from generation.settings import GenerationSettings
from kit import invariants, testing
from kit.service import Service
from kit.testing import emitted, eventually, records
from shared.contract import Event
from shared.events import AccountRegistered, AssetStored, CreditsSettled, HoldOverdue, JobRequested, JobSucceeded
from shared.events.generation import Terminal
from shared.ids import new_id
from shared.jobs import ImageInput
from shared.prices import current_version, price_job
from storage.settings import StorageSettings

PRICE = 4_000


def request(account_id: str) -> JobRequested:
    now, wanted = datetime.now(UTC), {"prompt": "a lighthouse"}
    price = price_job(ImageInput.model_validate(wanted), current_version(now))
    return JobRequested(
        job_id=new_id("job"),
        account_id=account_id,
        kind="image",
        input=wanted,
        items=1,
        price=price.total,
        item_prices=price.items,
        price_version=price.version,
        requested_at=now,
        deadline=now + timedelta(minutes=10),
    )


@dataclass
class House:
    """Three services. ``carry`` takes what one has emitted to others, each event once."""

    billing: Service
    generation: Service
    storage: Service
    carried: set[tuple[str, str]] = field(default_factory=set)

    async def carry(self, source: Service, *targets: Service) -> None:
        for target in targets:
            wanted = {subscription.event for subscription in target.subscriptions}
            new = [
                event
                for event in await emitted(source.db)
                if type(event) in wanted and (target.name, event.envelope.id) not in self.carried
            ]
            self.carried |= {(target.name, event.envelope.id) for event in new}
            await target.edge.handle(records(*new))

    async def begin(self) -> JobRequested:
        """A job of a new account, with its credits held and its picture in S3."""
        job = request(new_id("acc"))
        registered = AccountRegistered(
            account_id=job.account_id, email="ada@example.com", registered_at=datetime.now(UTC)
        )
        await self.billing.edge.handle(records(registered, job))
        await self.generation.edge.handle(records(job))
        await self.carry(self.billing, self.generation)
        await eventually(lambda: found(self.generation, "SELECT 1 FROM steps WHERE state = 'produced'"), timeout=30)
        return job

    async def violations(self) -> list[str]:
        return [
            violation.invariant.name
            for service in (self.billing, self.generation, self.storage)
            for violation in await invariants.check(service.db, service.all_invariants)
        ]


async def found(service: Service, query: str) -> bool:
    async with service.db.read() as session:
        return (await session.execute(text(query))).first() is not None


async def change(service: Service, statement: str) -> None:
    async with service.db.write() as session:
        await session.execute(text(statement))


async def told(service: Service, kind: type[Event]) -> list[Event]:
    """Events of a kind that a service has emitted, once there is one."""

    async def some() -> list[Event]:
        return [event for event in await emitted(service.db) if isinstance(event, kind)]

    return await eventually(some, timeout=30)


@asynccontextmanager
async def working(service: Service) -> AsyncIterator[Service]:
    service.roles = frozenset({"worker"})
    async with service.running():
        yield service


@pytest.fixture
async def house(stack: testing.Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """Generation works, with a provider that answers at once; billing and storage only when a test lets them."""
    out = io.BytesIO()
    Image.new("RGB", (1024, 1024), "#336699").save(out, "PNG")

    async def make(*_: object, **__: object) -> ImageAnswer:
        return ImageAnswer(out.getvalue(), "req_1", None)

    monkeypatch.setattr(OpenAIImages, "make", make)
    bucket = f"test-{new_id('job')[4:].lower()}"
    ours = {"openai_api_key": "sk-test", "s3_bucket": bucket}
    async with (
        testing.service("billing", BillingSettings, billing.app.build, stack) as bills,
        testing.service("generation", GenerationSettings, generation.app.build, stack, **ours) as makes,
        testing.service("storage", StorageSettings, storage.app.build, stack, s3_bucket=bucket) as keeps,
        working(makes),
    ):
        yield House(bills, makes, keeps)


class TestEndThatBillingMissed:
    async def test_its_credits_are_settled_when_the_hold_is_overdue(self, house: House) -> None:
        job = await house.begin()
        async with working(house.storage):
            await house.carry(house.generation, house.storage)
            await told(house.storage, AssetStored)
        await house.carry(house.storage, house.generation)
        [missed] = await told(house.generation, Terminal)
        house.carried.add(("billing", missed.envelope.id))

        await change(house.billing, "UPDATE holds SET due_at = now()")
        async with working(house.billing):
            await told(house.billing, HoldOverdue)
            await house.carry(house.billing, house.generation)
            # what is told again has the id of what was missed, so that whoever did not miss it knows it
            house.carried.discard(("billing", missed.envelope.id))
            await house.carry(house.generation, house.billing)
            [settled] = await told(house.billing, CreditsSettled)

        assert isinstance(settled, CreditsSettled)
        assert (settled.job_id, settled.captured, settled.released) == (job.job_id, PRICE, 0)
        assert await told(house.generation, Terminal) == [missed, missed]
        assert await house.violations() == []


class TestStorageAwayUntilAfterTheDeadline:
    async def test_the_picture_is_stored_in_time_delivered_and_charged(self, house: House) -> None:
        job = await house.begin()
        await change(house.generation, "UPDATE runs SET deadline = now() - interval '5 minutes', due_at = now()")
        await eventually(lambda: found(house.generation, "SELECT 1 FROM runs WHERE due_at IS NULL"))
        async with working(house.storage):
            await house.carry(house.generation, house.storage)
            [stored] = await told(house.storage, AssetStored)
        await house.carry(house.storage, house.generation)
        [end] = await told(house.generation, Terminal)
        await house.carry(house.generation, house.billing)
        [settled] = await told(house.billing, CreditsSettled)

        assert isinstance(stored, AssetStored)
        assert isinstance(end, JobSucceeded)
        assert isinstance(settled, CreditsSettled)
        assert (stored.job_id, stored.late) == (job.job_id, False)
        assert [(item.outcome, item.asset_id) for item in end.items] == [("delivered", stored.asset_id)]
        assert (settled.captured, settled.released) == (PRICE, 0)
        assert await house.violations() == []
