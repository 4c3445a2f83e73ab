"""Holds and settlements per second, and what one costs in statements: alone, and in batches as they come from Kafka.

The edge of billing handles records on one connection, beside PostgreSQL and nothing else. One account that holds all
jobs is compared with a thousand that share them, because a hot wallet is what breaks a ledger of this kind first.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event

from billing.app import build
from billing.settings import BillingSettings
from devstack.infra import Infra
from kit import migrations
from kit.testing import IDENTITY, records
from shared.contract import Event
from shared.events import AccountRegistered, JobRequested, JobSucceeded
from shared.events.generation import ItemResult
from shared.ids import new_id
from shared.jobs import ImageInput
from shared.prices import current_version, price_job

BATCHES = (1, 100, 500)
ACCOUNTS = 50
MANY = 1_000
ALONE = 200
"""Jobs that are handled one by one."""
WARM_UP = 500


class Holds:
    """Billing on a database of its own. ``round`` takes every figure once."""

    def __init__(self, infra: Infra, jobs: int) -> None:
        self._jobs = jobs
        self._statements = 0
        settings = BillingSettings(
            environment="development",
            http_port=1,
            database_url=infra.postgres.create_database("billing", "billing"),
            kafka_bootstrap="none",
            identity_public_key=IDENTITY.public_key,
            registration_credits=1_000_000,
        )
        self._billing = build(settings)
        event.listen(self._billing.db.engine.sync_engine, "before_cursor_execute", self._count)

    async def prepare(self) -> None:
        """Tables, and statements that are planned."""
        await migrations.upgrade(self._billing.db, self._billing.migrations)
        await self._measure(batch=100, accounts=ACCOUNTS, jobs=WARM_UP)

    async def close(self) -> None:
        """Close the pool."""
        await self._billing.db.close()

    async def round(self) -> dict[str, float]:
        """Every figure once."""
        figures: dict[str, float] = {}
        for batch in BATCHES:
            measured = await self._measure(batch=batch, accounts=ACCOUNTS, jobs=ALONE if batch == 1 else self._jobs)
            figures |= {f"batches of {batch}: {name}": value for name, value in measured.items()}
        one = await self._measure(batch=BATCHES[-1], accounts=1, jobs=self._jobs)
        many = await self._measure(batch=BATCHES[-1], accounts=MANY, jobs=self._jobs)
        for name in ("holds/s", "settlements/s"):
            figures[f"one account: {name}"] = one[name]
            figures[f"{MANY:,} accounts: {name}"] = many[name]
            figures[f"{name}: one account / {MANY:,} accounts"] = one[name] / many[name]
        return figures

    async def _measure(self, *, batch: int, accounts: int, jobs: int) -> dict[str, float]:
        owners = [new_id("acc") for _ in range(accounts)]
        await self._handle([_registered(owner) for owner in owners], batch=500)
        wanted = [_requested(owners[number % accounts]) for number in range(jobs)]
        hold_seconds, hold_statements = await self._handle(wanted, batch=batch)
        settle_seconds, settle_statements = await self._handle([_succeeded(job) for job in wanted], batch=batch)
        return {
            "holds/s": jobs / hold_seconds,
            "settlements/s": jobs / settle_seconds,
            "statements per job": (hold_statements + settle_statements) / jobs,
        }

    async def _handle(self, events: Sequence[Event], *, batch: int) -> tuple[float, int]:
        """Seconds and statements that these events took."""
        messages = records(*events)
        before, began = self._statements, time.perf_counter()
        for start in range(0, len(messages), batch):
            await self._billing.edge.handle(messages[start : start + batch])
        return time.perf_counter() - began, self._statements - before

    def _count(self, *_: Any) -> None:
        self._statements += 1


def _registered(account_id: str) -> AccountRegistered:
    return AccountRegistered(account_id=account_id, email="ada@example.com", registered_at=datetime.now(UTC))


def _requested(account_id: str) -> JobRequested:
    now = datetime.now(UTC)
    wanted = {"prompt": "a lighthouse", "n": 2}
    price = price_job(ImageInput.model_validate(wanted), current_version(now))
    return JobRequested(
        job_id=new_id("job"),
        account_id=account_id,
        kind="image",
        input=wanted,
        items=2,
        price=price.total,
        item_prices=price.items,
        price_version=price.version,
        requested_at=now,
        deadline=now + timedelta(minutes=10),
    )


def _succeeded(job: JobRequested) -> JobSucceeded:
    items = tuple(
        ItemResult(item=item, outcome="delivered", price=price, asset_id=new_id("ast"))
        for item, price in enumerate(job.item_prices)
    )
    return JobSucceeded(job_id=job.job_id, account_id=job.account_id, items=items, finished_at=datetime.now(UTC))
