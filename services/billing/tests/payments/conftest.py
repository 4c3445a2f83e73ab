"""Billing beside the Stripe twin in a process of its own, and a stand-in for gateway that passes webhooks on."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from billing.app import build
from billing.payments.stripe_api import KINDS
from billing.settings import BillingSettings
from kit import invariants, testing
from kit.service import Service
from kit.testing import emitted, eventually, records
from kit.webhook_signatures import SignatureError, verify_stripe
from shared.events import WebhookReceived

PACKS = [{"name": "pack_500", "price_id": "price_pack_500", "credits": 500}]
PLANS = [
    {"name": "basic", "price_id": "price_basic_monthly", "credits": 1000},
    {"name": "pro", "price_id": "price_pro_monthly", "credits": 4000, "rollover_days": 31},
]
SECRET = "whsec_of_gateway"


@pytest.fixture(scope="session")
def twin_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The twins, serving."""
    command = [sys.executable, "-m", "twins", "serve", "--port", "0", "--data", str(tmp_path_factory.mktemp("twins"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        # Once its log has filled the pipe, the twin would stand still.
        reading = threading.Thread(target=process.stdout.read)
        reading.start()
        yield url
        process.kill()
        reading.join()


class Stripe:
    """An account at the twin, seen from outside: its customers, its bank, its clock, and its webhooks."""

    def __init__(self, twin_url: str) -> None:
        self.url = f"{twin_url}/stripe"
        self._twin_url = twin_url
        self.key = f"sk_test_{uuid4().hex}"
        self.inbox = f"gateway-{uuid4().hex[:12]}"
        self.http = httpx2.AsyncClient(base_url=twin_url, timeout=30)

    async def control(self, method: str, path: str, **body: Any) -> Any:
        answer = await self.http.request(method, f"/control/stripe{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def get(self, path: str, **query: Any) -> Any:
        auth = {"authorization": f"Bearer {self.key}"}
        answer = await self.http.get(f"/stripe/v1{path}", params=query, headers=auth)
        return answer.raise_for_status().json()

    async def post(self, path: str, **form: Any) -> Any:
        auth = {"authorization": f"Bearer {self.key}"}
        answer = await self.http.post(f"/stripe/v1{path}", data=form, headers=auth)
        return answer.raise_for_status().json()

    async def fault(self, action: str, matching: str, *, times: int = 1) -> None:
        rule = {
            "action": action,
            "provider": "stripe",
            "api_key": self.key,
            "prompt_contains": matching,
            "times": times,
        }
        (await self.http.post("/control/faults", json=rule)).raise_for_status()

    async def faults_spent(self) -> bool:
        rules = (await self.http.get("/control/faults")).json()
        return not any(rule["times"] for rule in rules if rule["api_key"] == self.key)

    async def listen(self) -> None:
        url = f"{self._twin_url}/hooks/{self.inbox}"
        endpoint = {"url": url, "secret": SECRET, "enabled_events": list(KINDS), "retry_seconds": [0.05]}
        await self.control("PUT", "/endpoints", api_key=self.key, **endpoint)

    async def script(self, *rules: dict[str, Any]) -> None:
        await self.control("PUT", "/delivery-rules", api_key=self.key, rules=list(rules))

    async def pay(self, checkout: dict[str, Any], number: str = "4242424242424242") -> dict[str, Any]:
        session_id = checkout["url"].rsplit("/", 1)[1]
        return await self.control("POST", f"/checkout-sessions/{session_id}/pay", number=number)

    async def advance(self, days: int) -> None:
        await self.control("POST", "/clock", api_key=self.key, days=days)

    async def deliveries(self) -> list[dict[str, Any]]:
        return (await self.http.get("/control/stripe/deliveries", params={"api_key": self.key})).json()

    async def messages(self) -> list[dict[str, Any]]:
        return (await self.http.get(f"/hooks/{self.inbox}/messages")).json()["messages"][::-1]


@pytest.fixture
async def stripe(twin_url: str) -> AsyncIterator[Stripe]:
    account = Stripe(twin_url)
    await account.listen()
    yield account
    await account.http.aclose()


@pytest.fixture
def settings(stripe: Stripe) -> dict[str, Any]:
    """Settings of billing under test."""
    return {
        "stripe_api_key": stripe.key,
        "stripe_api_url": stripe.url,
        "stripe_timeout": 5,
        "packs": PACKS,
        "plans": PLANS,
        "return_url": "http://shop.example/credits",
        "registration_credits": 0,
    }


@pytest.fixture
async def billing(stack: testing.Stack, settings: dict[str, Any]) -> AsyncIterator[Service]:
    """Billing that sells; whatever a test did, the invariants hold after it."""
    async with testing.service("billing", BillingSettings, build, stack, **settings) as service:
        yield service
        assert await invariants.check(service.db, service.all_invariants) == []
        for close in service.on_close:
            await close()


class Gateway:
    """Passes webhooks on as gateway does: verified, deduplicated, as events; then billing's workers do the rest."""

    def __init__(self, stripe: Stripe, service: Service, rows_of: Any) -> None:
        self._stripe = stripe
        self._service = service
        self._rows_of = rows_of
        self.refused: list[str] = []

    async def pass_on(self) -> list[WebhookReceived]:
        """Wait until the twin has sent everything, and hand all of it to billing, duplicates included."""
        await eventually(self._everything_sent)
        events = [event for message in await self._stripe.messages() if (event := self._read(message))]
        await self._service.edge.handle(records(*events))
        return events

    async def work(self) -> None:
        """Let the workers look into everything that is noted."""
        async with working(self._service, "stripe_events"):
            await eventually(self._nothing_open)

    async def settle(self) -> None:
        """Pass everything on and work it off."""
        await self.pass_on()
        await self.work()

    async def sweep(self) -> None:
        """Ask Stripe for what was not delivered, and work that off."""
        async with working(self._service, "stripe_sweeps"):
            await eventually(self._swept)
        await self.work()

    async def _everything_sent(self) -> bool:
        return all(delivery["state"] != "pending" for delivery in await self._stripe.deliveries())

    async def _nothing_open(self) -> bool:
        return all(row["outcome"] for row in await self._rows_of("stripe_events"))

    async def _swept(self) -> bool:
        (row,) = await self._rows_of("stripe_sweeps")
        return row["due_at"] > datetime.now(UTC)

    def _read(self, message: dict[str, Any]) -> WebhookReceived | None:
        body = message["body"].encode()
        try:
            verify_stripe(body, message["headers"].get("stripe-signature"), secrets=[SECRET], now=datetime.now(UTC))
        except SignatureError as error:
            self.refused.append(str(error))
            return None
        event = json.loads(body)
        object_id = event["data"]["object"]["id"]
        return WebhookReceived(
            subject=f"stripe:{object_id}",
            sender="stripe",
            external_id=event["id"],
            kind=event["type"],
            object_id=object_id,
            received_at=datetime.now(UTC),
        )


@asynccontextmanager
async def working(service: Service, name: str) -> AsyncIterator[None]:
    """Run one of the service's workers."""
    (worker,) = [worker for worker in service.workers if worker.name == name]
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await worker.drain(10)


@pytest.fixture
def gateway(stripe: Stripe, billing: Service, rows_of: Any) -> Gateway:
    return Gateway(stripe, billing, rows_of)


class Customer:
    """An account and its requests to billing."""

    def __init__(self, client: httpx2.AsyncClient, account_id: str) -> None:
        self._client = client
        self.account_id = account_id

    async def post(self, path: str, *, key: str | None = None, **body: Any) -> httpx2.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self._client.post(f"/v1/{path}", json=body, headers=headers)

    async def get(self, path: str) -> dict[str, Any]:
        return (await self._client.get(f"/v1/{path}")).raise_for_status().json()

    async def check_out(self, *, key: str | None = None, **wish: Any) -> dict[str, Any]:
        answer = await self.post("checkout-sessions", key=key, **(wish or {"pack": "pack_500"}))
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.fixture
async def customer(billing: Service, account_id: str) -> AsyncIterator[Customer]:
    async with testing.client(billing, account_id=account_id) as client:
        yield Customer(client, account_id)


@pytest.fixture
def told(billing: Service) -> Any:
    """Events of one class that billing has emitted, in order."""

    async def of(kind: type) -> list[Any]:
        return [event for event in await emitted(billing.db) if isinstance(event, kind)]

    return of


@pytest.fixture
def run_worker(billing: Service) -> Any:
    """Run one of billing's workers until a condition holds."""

    async def run(name: str, *, until: Any) -> None:
        async with working(billing, name):
            await eventually(until)

    return run
