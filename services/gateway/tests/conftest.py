"""Gateway on a fresh database, customers who call it, and the events that the other services would send it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import select

from gateway.accounts import register
from gateway.app import build
from gateway.keys import create_key
from gateway.models import metadata
from gateway.settings import GatewaySettings
from kit import invariants, testing
from kit.service import Service
from shared.events import (
    ArtifactProduced,
    AssetStored,
    CreditsGranted,
    CreditsHeld,
    CreditsRefused,
    CreditsSettled,
    DeliverySucceeded,
    JobCancelled,
    JobRefused,
    JobSucceeded,
)
from shared.events.credits import LedgerLine
from shared.events.generation import AttemptSummary, ItemResult
from shared.ids import new_id

from .owner import Owner

NOBODY = "http://127.0.0.1:9"
"""Where nothing listens."""

LIFETIME = timedelta(days=1)
"""Of tickets and sessions that are good."""

BROWSER = {"Accept": "text/html,*/*", "Origin": "http://gateway.test"}

SETTINGS = {
    "public_url": "http://gateway.test",
    "identity_private_key": testing.IDENTITY.private_key,
    "seal_public_key": testing.IDENTITY.seal_public_key,
    "billing_url": NOBODY,
    "generation_url": NOBODY,
    "storage_url": NOBODY,
    "publishing_url": NOBODY,
}


@dataclass(frozen=True)
class Customer:
    """An account with an API key, and a client that uses it."""

    account_id: str
    key: str
    http: httpx2.AsyncClient


class Make:
    """Events of a job, as the other services emit them."""

    def granted(self, account_id: str, *, available: int, version: int = 1) -> CreditsGranted:
        return CreditsGranted(
            account_id=account_id,
            grant_id=new_id("grt"),
            source="bonus",
            reason="registration",
            amount=50_000,
            available=available,
            held=0,
            wallet_version=version,
        )

    def held(self, account_id: str, job_id: str, *, version: int = 2) -> CreditsHeld:
        return CreditsHeld(
            account_id=account_id, job_id=job_id, amount=4_000, available=46_000, held=4_000, wallet_version=version
        )

    def credits_refused(self, account_id: str, job_id: str) -> CreditsRefused:
        return CreditsRefused(
            account_id=account_id,
            job_id=job_id,
            code="insufficient_credits",
            detail="too few",
            needed=4_000,
            available=1,
        )

    def produced(self, account_id: str, job_id: str, asset_id: str) -> ArtifactProduced:
        return ArtifactProduced(
            job_id=job_id,
            account_id=account_id,
            asset_id=asset_id,
            item=0,
            step_id=new_id("stp"),
            object_key="a/b/c.png",
            size=10,
            sha256="0" * 64,
            media_type="image/png",
            width=1024,
            height=1024,
            recipe={"model": "gpt-image-2"},
        )

    def stored(self, account_id: str, job_id: str, asset_id: str) -> AssetStored:
        return AssetStored(
            asset_id=asset_id,
            account_id=account_id,
            source="generated",
            job_id=job_id,
            item=0,
            size=10,
            sha256="0" * 64,
            media_type="image/png",
            width=1024,
            height=1024,
        )

    def succeeded(self, account_id: str, job_id: str, asset_id: str) -> JobSucceeded:
        now = datetime.now(UTC)
        attempt = AttemptSummary(
            item=0, number=1, model="gpt-image-2", started_at=now, ended_at=now, outcome="succeeded", cost_usd="0.04"
        )
        return JobSucceeded(
            job_id=job_id,
            account_id=account_id,
            items=(ItemResult(item=0, outcome="delivered", price=4_000, asset_id=asset_id),),
            attempts=(attempt,),
            finished_at=now,
        )

    def refused(self, account_id: str, job_id: str) -> JobRefused:
        return JobRefused(
            job_id=job_id,
            account_id=account_id,
            items=(),
            finished_at=datetime.now(UTC),
            failure="insufficient_credits",
            detail="too few",
            needed=4_000,
            available=1,
        )

    def cancelled(self, account_id: str, job_id: str) -> JobCancelled:
        return JobCancelled(
            job_id=job_id,
            account_id=account_id,
            items=(ItemResult(item=0, outcome="cancelled", price=0),),
            finished_at=datetime.now(UTC),
        )

    def settled(self, account_id: str, job_id: str, *, version: int = 3) -> CreditsSettled:
        lines = (
            LedgerLine(account="customer.held", amount=-4_000),
            LedgerLine(account="platform.earned", amount=4_000),
        )
        return CreditsSettled(
            account_id=account_id,
            job_id=job_id,
            held=4_000,
            captured=4_000,
            released=0,
            loss=0,
            available=46_000,
            wallet_held=0,
            wallet_version=version,
            entries=lines,
        )

    def delivered(self, account_id: str, job_id: str) -> DeliverySucceeded:
        return DeliverySucceeded(
            delivery_id=new_id("dlv"),
            account_id=account_id,
            job_id=job_id,
            attempts=1,
            status_code=204,
            ended_at=datetime.now(UTC),
        )

    def journey(self, account_id: str, job_id: str) -> list[Any]:
        """All that follows the request of a job that comes through."""
        asset_id = new_id("ast")
        return [
            self.held(account_id, job_id),
            self.produced(account_id, job_id, asset_id),
            self.stored(account_id, job_id, asset_id),
            self.succeeded(account_id, job_id, asset_id),
            self.settled(account_id, job_id),
        ]


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def overrides() -> dict[str, Any]:
    """Settings of a test's own."""
    return {}


@pytest.fixture
async def gateway(stack: testing.Stack, overrides: dict[str, Any]) -> AsyncIterator[Service]:
    """Gateway; whatever a test did, the invariants hold after it."""
    async with testing.service("gateway", GatewaySettings, build, stack, **(SETTINGS | overrides)) as service:
        yield service
        assert await invariants.check(service.db, service.all_invariants) == []
        for close in service.on_close:
            await close()


@pytest.fixture
def open_account(gateway: Service) -> Callable[[], Awaitable[tuple[str, str]]]:
    """Register an account; its id and an API key."""

    async def register_one() -> tuple[str, str]:
        async with gateway.db.write() as session:
            account = await register(session, email=f"{new_id('mail')}@example.com")
            key = await create_key(session, account_id=account.id, name="test")
        return account.id, key.secret

    return register_one


@pytest.fixture
async def http(gateway: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without credentials, on the app itself."""
    transport = httpx2.ASGITransport(app=gateway.create_app(), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        yield client


@pytest.fixture
async def customer(http: httpx2.AsyncClient, open_account: Any) -> Customer:
    account_id, key = await open_account()
    http.headers["Authorization"] = f"Bearer {key}"
    return Customer(account_id, key, http)


@pytest.fixture
async def browser(http: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """A browser that is not signed in."""
    http.headers.update(BROWSER)
    return http


@pytest.fixture
def ask(browser: httpx2.AsyncClient) -> Callable[..., Awaitable[str]]:
    """Ask for pictures as the page does; the id of the job."""

    async def post(**job_input: Any) -> str:
        body = {"kind": "image", "input": {"prompt": "a lighthouse"} | job_input}
        accepted = await browser.post("/v1/jobs", json=body)
        assert accepted.status_code == 202, accepted.text
        return str(accepted.json()["id"])

    return post


@pytest.fixture
async def account(gateway: Service, browser: httpx2.AsyncClient, open_account: Any) -> str:
    """The account that the browser is signed in to."""
    account_id, key = await open_account()
    await browser.post("/enter", data={"api_key": key})
    return account_id


@pytest.fixture
def order() -> dict[str, Any]:
    """The body of a request for one picture of 4 credits."""
    return {"kind": "image", "input": {"prompt": "a lighthouse in a storm"}}


@pytest.fixture
def rows_of(gateway: Service) -> Callable[..., Awaitable[list[dict[str, Any]]]]:
    """All rows of a table, in the order of its primary key."""

    async def rows(table: str, **where: Any) -> list[dict[str, Any]]:
        selected = metadata.tables[table]
        query = select(selected).filter_by(**where).order_by(*selected.primary_key.columns)
        async with gateway.db.read() as session:
            return [dict(row) for row in (await session.execute(query)).mappings()]

    return rows


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """An app behind a real HTTP server; its base URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await testing.eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
        listener.close()


@pytest.fixture
def serve() -> Callable[[FastAPI], Any]:
    """Puts an app behind a real HTTP server: ``async with serve(app) as url``."""
    return served


@pytest.fixture
async def owner(serve: Any) -> AsyncIterator[Owner]:
    """Storage; its prices stand for billing's."""
    owner = Owner("storage")
    async with serve(owner.app) as url:
        owner.url = url
        yield owner


@pytest.fixture
async def live(gateway: Service, open_account: Any) -> AsyncIterator[Customer]:
    """A customer of a gateway behind a real server, so that answers can be streamed."""
    gateway.roles = frozenset({"api"})
    account_id, key = await open_account()
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        served(gateway.create_app()) as url,
        httpx2.AsyncClient(base_url=url, headers=headers, timeout=10, trust_env=False) as client,
    ):
        yield Customer(account_id, key, client)
