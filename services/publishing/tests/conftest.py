"""Publishing on a fresh database, the two halves of a delivery, and a receiver that verifies like a customer does."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
import uvicorn
from pydantic import SecretStr
from sqlalchemy import text
from standardwebhooks import Webhook

from kit import testing
from kit.identity import Caller, Minter
from kit.invariants import check
from kit.sealing import seal
from kit.service import Service
from publishing.app import build
from publishing.settings import PublishingSettings
from shared.events import JobCancelled, JobFailed, JobRefused, JobRequested, JobSucceeded
from shared.events.generation import ItemResult, Terminal
from shared.events.jobs import SealedWebhook
from shared.ids import new_id

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Received:
    """One request as the receiver saw it."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def payload(self) -> dict[str, object]:
        return json.loads(self.body)

    def verify(self, secret: str = SECRET) -> None:
        """Raises unless the official library accepts the signature."""
        Webhook(secret).verify(self.body, self.headers)


@dataclass
class Answer:
    """What the receiver says next. ``hold`` keeps the request open until it is set."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hold: asyncio.Event | None = None


class Receiver:
    """A real HTTP server; it gives the answers it was told, then 204."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[Answer] = []
        self.url = ""

    def say(self, *answers: Answer | int) -> None:
        self.answers += [Answer(answer) if isinstance(answer, int) else answer for answer in answers]

    async def __call__(self, scope, receive, send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.received.append(Received(scope["path"], headers, body))
        answer = self.answers.pop(0) if self.answers else Answer()
        if answer.hold is not None:
            await answer.hold.wait()
        raw = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})


@dataclass(frozen=True)
class Journey:
    """The events of one job that asks for a delivery."""

    requested: JobRequested
    ended: Terminal

    @property
    def delivery_id(self) -> str:
        return self.requested.job_id.replace("job_", "dlv_")


def make_journey(
    url: str, *, account_id: str | None = None, secret: str | None = SECRET, end: type[Terminal] = JobSucceeded
) -> Journey:
    job_id, account_id, now = new_id("job"), account_id or new_id("acc"), datetime.now(UTC)
    sealed = None if secret is None else seal(testing.IDENTITY.seal_public_key, secret, context=job_id)
    requested = JobRequested(
        job_id=job_id,
        account_id=account_id,
        kind="image",
        input={"prompt": "a lighthouse"},
        items=1,
        price=4000,
        item_prices=(4000,),
        price_version="2026-11-21",
        requested_at=now,
        deadline=now + timedelta(minutes=10),
        deliver=SealedWebhook(url=url, sealed_secret=sealed),
    )
    delivered = ItemResult(item=0, outcome="delivered", price=4000, asset_id=new_id("ast"))
    failed = ItemResult(item=0, outcome="failed", price=0, failure="deadline")
    more = {"failure": "deadline", "detail": "Too late."} if end in {JobFailed, JobRefused} else {}
    ended = end(
        job_id=job_id,
        account_id=account_id,
        items=(delivered if end is JobSucceeded else failed,),
        finished_at=now,
        deliver=True,
        **more,
    )
    return Journey(requested, ended)


@asynccontextmanager
async def run_workers(service: Service) -> AsyncIterator[Service]:
    service.roles = frozenset({"api", "worker"})
    async with service.running():
        yield service


@pytest.fixture
def journey() -> Callable[..., Journey]:
    return make_journey


class Limited(httpx2.Auth):
    """The identity of an API key that may do less than everything."""

    def __init__(self, account_id: str, *scopes: str) -> None:
        self._caller = Caller(account_id, "key_test", frozenset(scopes))

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        minter = Minter(testing.IDENTITY.private_key)
        token = minter.mint(self._caller, audience="publishing", method=request.method, path=request.url.path)
        request.headers["Authorization"] = f"Bearer {token}"
        yield request


@pytest.fixture
def limited() -> type[Limited]:
    return Limited


@pytest.fixture(params=[JobSucceeded, JobFailed, JobCancelled, JobRefused], ids=lambda end: end.__name__)
def any_end(request: pytest.FixtureRequest) -> type[Terminal]:
    return request.param


@pytest.fixture
def answer() -> type[Answer]:
    return Answer


@pytest.fixture
def working() -> Callable[[Service], AbstractAsyncContextManager[Service]]:
    """The worker of a service runs while the block does, without Kafka."""
    return run_workers


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on this machine."""
    receiver = Receiver()
    server = uvicorn.Server(uvicorn.Config(receiver, port=0, log_config=None, lifespan="off", ws="none"))
    task = asyncio.create_task(server.serve())
    await testing.eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    receiver.url = f"http://127.0.0.1:{port}/hooks"
    yield receiver
    server.should_exit = server.force_exit = True
    await task


SETTINGS = {
    "seal_private_key": SecretStr(testing.IDENTITY.seal_private_key),
    "signing_master_secret": SecretStr("a master secret for tests only"),
    "allow_loopback": True,
    "retry_schedule": (0, 0, 0, 0),
}


@pytest.fixture
def settings_for_tests() -> dict[str, object]:
    return SETTINGS


@pytest.fixture
async def publishing(stack: testing.Stack) -> AsyncIterator[Service]:
    """Publishing; whatever a test does to it, its invariants hold afterwards."""
    async with testing.service("publishing", PublishingSettings, build, stack, **SETTINGS) as service:
        yield service
        assert await check(service.db, service.all_invariants) == []


@pytest.fixture
def rows(publishing: Service) -> Callable[[str], Awaitable[list[dict[str, object]]]]:
    """What a query finds in the database."""

    async def rows(query: str) -> list[dict[str, object]]:
        async with publishing.db.read() as session:
            return [dict(row) for row in (await session.execute(text(query))).mappings()]

    return rows


@pytest.fixture
def told(publishing: Service) -> Callable[..., Awaitable[list[object]]]:
    """Waits for that many events of publishing."""

    async def told(count: int = 1) -> list[object]:
        async def enough() -> list[object]:
            events = await testing.emitted(publishing.db)
            return events if len(events) >= count else []

        return await testing.eventually(enough)

    return told
