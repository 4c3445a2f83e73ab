"""Billing on a fresh database, and the events that others would send it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from billing.app import build
from billing.models import metadata
from billing.settings import BillingSettings
from kit import invariants, testing
from kit.service import Service
from shared.events import (
    AccountRegistered,
    AccountSignedIn,
    JobCancelled,
    JobFailed,
    JobRefused,
    JobRequested,
    JobSucceeded,
)
from shared.events.generation import ItemResult
from shared.ids import new_id
from shared.jobs import ImageInput
from shared.prices import current_version, price_job

BONUS = 50_000


class Make:
    """Events as gateway and generation emit them."""

    def registered(self, account_id: str) -> AccountRegistered:
        return AccountRegistered(account_id=account_id, email="ada@example.com", registered_at=datetime.now(UTC))

    def signed_in(self, account_id: str, at: datetime) -> AccountSignedIn:
        return AccountSignedIn(account_id=account_id, signed_in_at=at)

    def requested(self, account_id: str, *, job_id: str | None = None, **changes: Any) -> JobRequested:
        wanted = {"prompt": "a lighthouse", **changes.pop("input", {})}
        price = price_job(ImageInput.model_validate(wanted), current_version(datetime.now(UTC)))
        values = {
            "job_id": job_id or new_id("job"),
            "account_id": account_id,
            "kind": "image",
            "input": wanted,
            "items": len(price.items),
            "price": price.total,
            "item_prices": price.items,
            "price_version": price.version,
            "requested_at": datetime.now(UTC),
            "deadline": datetime.now(UTC) + timedelta(minutes=10),
        }
        return JobRequested(**values | changes)

    def delivered(self, item: int, price: int) -> ItemResult:
        return ItemResult(item=item, outcome="delivered", price=price, asset_id=new_id("ast"))

    def failed(self, item: int, failure: str, *, loss: int = 0) -> ItemResult:
        return ItemResult(item=item, outcome="failed", price=0, failure=failure, loss=loss)

    def succeeded(self, job: JobRequested, *items: ItemResult) -> JobSucceeded:
        results = items or tuple(self.delivered(item, price) for item, price in enumerate(job.item_prices))
        return JobSucceeded(job_id=job.job_id, account_id=job.account_id, items=results, finished_at=datetime.now(UTC))

    def job_failed(self, job: JobRequested, *items: ItemResult) -> JobFailed:
        return JobFailed(
            job_id=job.job_id,
            account_id=job.account_id,
            items=items,
            finished_at=datetime.now(UTC),
            failure=items[0].failure if items else "deadline",
        )

    def cancelled(self, job: JobRequested, *items: ItemResult) -> JobCancelled:
        return JobCancelled(job_id=job.job_id, account_id=job.account_id, items=items, finished_at=datetime.now(UTC))

    def refused(self, job: JobRequested, code: str) -> JobRefused:
        return JobRefused(
            job_id=job.job_id, account_id=job.account_id, items=(), finished_at=datetime.now(UTC), failure=code
        )


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def account_id() -> str:
    return new_id("acc")


@pytest.fixture
async def billing(stack: testing.Stack) -> AsyncIterator[Service]:
    """Billing; whatever a test did, the invariants hold after it."""
    async with testing.service("billing", BillingSettings, build, stack) as service:
        yield service
        assert await invariants.check(service.db, service.all_invariants) == []


@pytest.fixture
def rows_of(billing: Service) -> Callable[..., Awaitable[list[dict[str, Any]]]]:
    """All rows of a table, in the order of its first column."""

    async def rows(table: str, **where: Any) -> list[dict[str, Any]]:
        query = select(metadata.tables[table]).filter_by(**where).order_by(metadata.tables[table].c[0])
        async with billing.db.read() as session:
            return [dict(row) for row in (await session.execute(query)).mappings()]

    return rows


@pytest.fixture
def wallet_of(rows_of: Any) -> Callable[[str], Awaitable[tuple[int, int]]]:
    """What an account has available and held."""

    async def wallet(account_id: str) -> tuple[int, int]:
        (row,) = await rows_of("wallets", account_id=account_id)
        return row["available"], row["held"]

    return wallet


@pytest.fixture
def hold_of(rows_of: Any) -> Callable[[str], Awaitable[dict[str, Any]]]:
    """The hold of a job."""

    async def hold(job_id: str) -> dict[str, Any]:
        (row,) = await rows_of("holds", job_id=job_id)
        return row

    return hold
