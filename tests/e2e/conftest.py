"""The whole of Atelier as real processes, and customers who use nothing but its public API."""

import base64
import json
import os
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from playwright.async_api import Page, async_playwright

import billing.clawbacks
import gateway.sessions
from crash import operating
from devstack.credentials import SERVICES
from devstack.stack import Stack, own_stack
from kit.testing import eventually
from shared.ids import uuid7
from shared.prices import MILLICREDITS

WARNINGS = 20
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
FINAL = {"succeeded", "failed", "cancelled", "refused"}


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event: an entry of the job's journal, or progress, which has no id."""

    id: str | None
    data: dict[str, Any]

    @property
    def name(self) -> str:
        """``credits-held`` for ``atelier.billing.credits-held.v1``."""
        return str(self.data["type"]).split(".")[2]


class Customer:
    """An account with its API key."""

    def __init__(self, system: "System", http: httpx2.AsyncClient, *, account_id: str, api_key: str) -> None:
        self.system = system
        self.http = http
        self.account_id = account_id
        self.api_key = api_key

    async def ask(self, prompt: str, *, deliver: dict[str, Any] | None = None, **request: Any) -> dict[str, Any]:
        """POST a job for pictures and return it; ``request`` are fields of the input."""
        answer = await self.post_job({"prompt": prompt, **request}, deliver=deliver)
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        return job

    async def post_job(
        self, job_input: dict[str, Any], *, deliver: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        body: dict[str, Any] = {"kind": "image", "input": job_input}
        if deliver is not None:
            body["deliver"] = deliver
        return await self.http.post("/v1/jobs", json=body, headers=headers)

    async def job(self, job_id: str) -> dict[str, Any]:
        return await self.get(f"/v1/jobs/{job_id}")

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        answer = await self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def finished(self, job_id: str, *, timeout: float = 30) -> dict[str, Any]:  # noqa: ASYNC109
        """The job once it is final and settled (a refused job has nothing to settle)."""

        async def settled() -> dict[str, Any]:
            job = await self.job(job_id)
            assert job["status"] in FINAL, job
            assert job["status"] == "refused" or job["credits"]["captured"] is not None, job
            return job

        return await eventually(settled, timeout=timeout)

    async def credits(self) -> dict[str, int]:
        wallet = await self.get("/v1/credits")
        return {"available": wallet["available"], "held": wallet["held"]}

    async def events(self, job_id: str, *, after: int | None = None) -> AsyncIterator[Event]:
        """The job's event stream until the server ends it."""
        headers = {"Last-Event-ID": str(after)} if after is not None else {}
        async with self.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers, timeout=60) as answer:
            assert answer.status_code == 200
            fields: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                elif "data" in fields:
                    yield Event(fields.get("id"), json.loads(fields["data"]))
                    fields = {}


class System:
    """The running system, seen from outside, and its operators' commands."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.url = stack.url
        self.twins = stack.addresses.url("twins")

    async def register(self) -> tuple[str, str]:
        """A new account: its id and API key."""
        return await operating.register(self.stack, f"{uuid7().hex}@example.com")

    async def grant(self, account_id: str, amount: int) -> None:
        """Give an account credits (whole ones) or take some away, as an operator does."""
        async with operating.database(self.stack, "billing") as db, db.write() as session:
            key = f"e2e:{uuid7()}"
            await billing.clawbacks.adjust(
                session, account_id=account_id, amount=amount * MILLICREDITS, reason="e2e", key=key
            )

    async def sign_in_link(self, account_id: str) -> str:
        """A link that signs in to the page once, as the operator's command prints it."""
        async with operating.database(self.stack, "gateway") as db, db.write() as session:
            ticket = await gateway.sessions.create_ticket(session, account_id=account_id, lifetime=timedelta(hours=1))
        return f"{self.url}/enter/{ticket}"

    def webhook_secret(self) -> str:
        """A signing secret as a customer would make one."""
        return "whsec_" + base64.b64encode(uuid7().bytes + uuid7().bytes).decode()

    async def violations(self) -> dict[str, list[str]]:
        """The invariants that do not hold, by service; empty when all hold."""
        return await operating.violations(self.stack)


class Collector(BaseHTTPRequestHandler):
    """An OpenTelemetry collector: keeps ``(service, trace id, span name)`` of every exported span."""

    spans: ClassVar[list[tuple[str, str, str]]] = []

    def do_POST(self) -> None:
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in request.resource_spans:
            attributes = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append((attributes["service.name"], span.trace_id.hex(), span.name))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture(scope="session")
def spans() -> Iterator[list[tuple[str, str, str]]]:
    """Every span that the five services export."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for service in SERVICES:
        os.environ[f"{service.upper()}_OTLP_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
    yield Collector.spans
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[str, str, str]]) -> Iterator[System]:
    """Five services, twins and servers of their own, on free ports."""
    with own_stack(tmp_path_factory.mktemp("atelier")) as stack:
        yield System(stack)


Enter = Callable[[], Awaitable[Customer]]


@pytest.fixture
async def new_customer(system: System) -> AsyncIterator[Enter]:
    """A function that registers customers, each with 50 credits once billing has heard of them."""
    clients: list[httpx2.AsyncClient] = []

    async def enter() -> Customer:
        account_id, api_key = await system.register()
        http = httpx2.AsyncClient(
            base_url=system.url, headers={"Authorization": f"Bearer {api_key}"}, timeout=30, follow_redirects=False
        )
        clients.append(http)
        customer = Customer(system, http, account_id=account_id, api_key=api_key)
        await eventually(lambda: _has_credits(customer))
        return customer

    yield enter
    for http in clients:
        await http.aclose()


@pytest.fixture
async def customer(new_customer: Enter) -> Customer:
    """One customer with 50 credits."""
    return await new_customer()


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: THE PAGE WAS NOT TESTED IN A BROWSER (install `chromium`)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        context = await browser.new_context(viewport={"width": 1280, "height": 900})
        yield await context.new_page()
        await browser.close()


async def _has_credits(customer: Customer) -> bool:
    return (await customer.credits())["available"] == 50_000


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A test that fails shows what the services last warned of."""
    report = yield
    system = getattr(item, "funcargs", {}).get("system")
    if report.failed and system is not None:
        for service in SERVICES:
            lines = system.stack.service(service).child.log.read_text().splitlines()
            warned = [line for line in lines if "[info" not in line][-WARNINGS:]
            report.sections.append((f"what {service} last warned of", "\n".join(warned)))
    return report


@pytest.hookimpl(tryfirst=True)  # before groups are told to the scheduler
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs all of these, so that the system is started once."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("e2e"))
            item.add_marker("connected")
