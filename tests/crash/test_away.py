"""A server that is away in the middle of load, or at the start: the system waits, says so, and loses nothing.

Each of PostgreSQL, Kafka, Valkey and S3 is away for ``AWAY_SECONDS``: for the first half it stands still, so that
connections hang, for the second it is dead, so that they are refused. Nobody starts it again before.
"""

import asyncio
import io
import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from PIL import Image

from crash.crowd import Answer, Customer, Wish, enter, flat_pictures
from crash.faults import all_ready
from crash.verdict import is_quiet, judge
from devstack.credentials import SERVICES
from devstack.server import Server
from devstack.stack import Stack, own_stack
from kit.testing import eventually

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]

AWAY_SECONDS = float(os.environ.get("AWAY_SECONDS") or 15)
LONGEST_SECONDS = 12.0
SECONDS_BETWEEN_JOBS = 0.5
SECONDS_BETWEEN_LOOKS = 1.0
SCRIPTS = ("", "[[twin:delay:1500]]", "", "[[twin:500 x1]]")
READS = ("/v1/jobs", "/v1/credits", "/v1/assets", "/v1/deliveries", "/v1/models")
CODES = {"temporarily_unavailable", "service_unavailable"}


@dataclass(frozen=True)
class Outage:
    """What is away, and who tells of it: checks of ``/health`` and lines of the log, by service."""

    part: str
    checks: dict[str, tuple[str, ...]]
    logs: dict[str, str]
    ready: bool = True
    failing: tuple[str, ...] = ()


OUTAGES = (
    Outage(
        "postgres",
        checks=dict.fromkeys(SERVICES, ("database", "relay")),
        logs=dict.fromkeys(SERVICES, "relay.waiting") | {"gateway": "request.delayed"},
        ready=False,
        failing=("POST /v1/jobs", "POST /v1/uploads", *(f"GET {path}" for path in READS)),
    ),
    Outage(
        "kafka",
        checks=dict.fromkeys(SERVICES, ("consumer",)) | {"gateway": ("consumer", "relay")},
        logs=dict.fromkeys(SERVICES, "Kafka does not answer") | {"gateway": "relay.waiting"},
    ),
    Outage(
        "valkey",
        checks=dict.fromkeys(("gateway", "generation"), ("redis",)),
        logs=dict.fromkeys(("gateway", "generation"), "redis.lost"),
    ),
    Outage(
        "s3",
        checks=dict.fromkeys(("generation", "storage"), ("s3",)),
        logs={"generation": "result.waiting", "storage": "S3 cannot be reached"},
        failing=("POST /v1/uploads",),
    ),
)


@dataclass
class System:
    """The whole of Atelier, which nobody else uses, and its customer."""

    stack: Stack
    customer: Customer
    wishes: Iterator[Wish] = field(default_factory=lambda: map(_wish, itertools.count()))

    def part(self, name: str) -> Server:
        return next(part for part in self.stack.parts if part.name.startswith(name))

    def log(self, service: str) -> str:
        return self.stack.service(service).child.log.read_text()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with own_stack(tmp_path_factory.mktemp("away")) as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(stack: Stack) -> AsyncIterator[System]:
    await flat_pictures(stack)
    customer = await enter(stack, 0)
    yield System(stack, customer)
    await customer.http.aclose()


class TestUnderLoad:
    @pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.part)
    async def test_a_server_that_is_away_is_waited_for_and_told_of(self, system: System, outage: Outage) -> None:
        customer = system.customer
        before = len(customer.accepted)
        part, logged = system.part(outage.part), {name: len(system.log(name)) for name in SERVICES}
        async with _load(system), _watch(system) as seen:
            await eventually(lambda: len(customer.accepted) >= before + 8, timeout=60)
            begins = time.monotonic()
            part.pause()
            await asyncio.sleep(AWAY_SECONDS / 2)
            await asyncio.to_thread(part.kill)
            await asyncio.sleep(AWAY_SECONDS / 2)
            ends = time.monotonic()
            await asyncio.to_thread(part.start)
            await all_ready(system.stack.parts)
            back = len(customer.accepted)
            await eventually(lambda: len(customer.accepted) >= back + 4, timeout=60)
        await eventually(lambda: is_quiet(system.stack), timeout=120)

        meanwhile = [answer for answer in (*seen, *customer.answers) if begins <= answer.at <= ends]
        assert _faults(outage, meanwhile) == []
        told = {name: system.log(name)[logged[name] :] for name in SERVICES}
        assert {name for name, line in outage.logs.items() if line not in told[name]} == set()
        verdict = await judge(system.stack, [customer])
        print(json.dumps(_summary(outage, meanwhile, verdict.numbers)))
        assert verdict.faults == []
        assert set(verdict.numbers["statuses"]) == {"succeeded"}


class TestAtStart:
    async def test_services_that_start_before_every_server_wait_for_each_and_say_so(self, system: System) -> None:
        stack, infra = system.stack, system.stack.infra
        customer, before = system.customer, len(system.customer.answers)
        await eventually(lambda: is_quiet(system.stack), timeout=120)
        for part in (*stack.services, *infra.servers):
            await asyncio.to_thread(part.stop)
        logged = {name: len(system.log(name)) for name in SERVICES}

        def all_say(words: str, services: Iterable[str] = SERVICES) -> bool:
            return all(words in system.log(name)[logged[name] :] for name in services)

        for service in stack.services:
            service.start()
        await eventually(lambda: all_say("migration.waiting"), timeout=30)
        await asyncio.to_thread(_start, infra.postgres)
        await eventually(lambda: all_say("KafkaConnectionError"), timeout=30)
        for broker in infra.kafka.brokers:
            await asyncio.to_thread(_start, broker)
        await all_ready([*stack.services])
        await asyncio.gather(*(customer.grant(wish) for wish in itertools.islice(system.wishes, 4)))
        await eventually(lambda: all_say("redis.lost", ("gateway", "generation")), timeout=30)
        await eventually(lambda: all_say("s3.lost", ("generation", "storage")), timeout=30)
        assert await _not_well(system, "gateway") == {"redis"}
        assert await _not_well(system, "generation") == {"redis", "s3"}
        await asyncio.to_thread(_start, infra.valkey)
        await asyncio.to_thread(_start, infra.s3)
        await eventually(lambda: is_quiet(system.stack), timeout=120)

        verdict = await judge(stack, [customer])
        assert verdict.faults == []
        assert set(verdict.numbers["statuses"]) == {"succeeded"}
        assert {answer.status for answer in customer.answers[before:]} == {202}


def _start(server: Server) -> None:
    server.start()
    server.wait_ready()


async def _not_well(system: System, service: str) -> set[str]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        checks = (await http.get(f"{system.stack.addresses.url(service)}/health")).json()["checks"]
    return {name for name, check in checks.items() if not check["ok"]}


def _faults(outage: Outage, answers: list[Answer]) -> list[str]:
    """What was promised for the time of an outage and did not happen."""
    faults = [f"{answer} took too long" for answer in answers if answer.seconds > LONGEST_SECONDS]
    faults += [f"{answer} is no answer" for answer in answers if not _is_clear(answer)]
    by_request = {request: [a for a in answers if a.request == request] for request in {a.request for a in answers}}
    for request, given in by_request.items():
        if not request.startswith("GET http") and request not in outage.failing:
            faults += [f"{answer} failed" for answer in given if answer.status >= 500]
    for request in outage.failing:
        if not any(answer.status == 503 for answer in by_request[request]):
            faults.append(f"{request} never said that it cannot be answered: {by_request[request]}")
    for service in SERVICES:
        told = [json.loads(a.told)["checks"] for a in by_request[f"GET http:{service}/health"] if a.status == 200]
        for check in outage.checks.get(service, ()):
            if all(checks.get(check, {"ok": True})["ok"] for checks in told):
                faults.append(f"/health of {service} never said that {check} is not well")
        statuses = {answer.status for answer in by_request[f"GET http:{service}/readyz"]}
        if outage.ready != (503 not in statuses):
            faults.append(f"/readyz of {service} said {statuses}")
    return faults


def _is_clear(answer: Answer) -> bool:
    if answer.request.endswith(("/readyz", "/health")):
        return answer.status in {200, 503}
    if answer.status == 503:
        return answer.code in CODES
    return 200 <= answer.status < 300


def _summary(outage: Outage, answers: list[Answer], numbers: dict[str, Any]) -> dict[str, Any]:
    """For whoever reads along."""
    statuses: dict[str, dict[int, int]] = {}
    for answer in answers:
        given = statuses.setdefault(answer.request, {})
        given[answer.status] = given.get(answer.status, 0) + 1
    longest = max(answers, key=lambda answer: answer.seconds)
    return {
        "away": outage.part,
        "longest answer": f"{longest.request} {longest.seconds:.1f} s",
        "answers": statuses,
        **numbers,
    }


@asynccontextmanager
async def _load(system: System) -> AsyncIterator[None]:
    """Jobs at a steady pace until the block ends, each seen through however long it takes to be accepted."""
    stopping = asyncio.Event()

    async def ask() -> None:
        async with asyncio.TaskGroup() as group:
            for wish in system.wishes:
                if stopping.is_set():
                    return
                group.create_task(system.customer.grant(wish))
                await asyncio.sleep(SECONDS_BETWEEN_JOBS)

    task = asyncio.create_task(ask())
    try:
        yield
    finally:
        stopping.set()
        await task


def _wish(number: int) -> Wish:
    return Wish(
        number,
        0,
        0.0,
        SCRIPTS[number % len(SCRIPTS)],
        n=1 + number % 2,
        cancel_after=None,
        deliver=number % 3 == 0,
        twice=number % 5 == 0,
    )


@asynccontextmanager
async def _watch(system: System) -> AsyncIterator[list[Answer]]:
    """Ask every service how it is, and gateway for everything a customer may want, again and again."""
    seen: list[Answer] = []
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    stopping = asyncio.Event()

    async def look(http: httpx2.AsyncClient, method: str, path: str, name: str = "", **request: Any) -> None:
        while not stopping.is_set():
            answer, _ = await Answer.of(http, method, path, **request)
            seen.append(Answer(name or answer.request, answer.at, answer.seconds, answer.status, answer.told))
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    public = httpx2.AsyncClient(
        base_url=system.stack.url, headers=system.customer.http.headers, timeout=60, trust_env=False
    )
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as http, public, asyncio.TaskGroup() as group:
        for service, path in itertools.product(SERVICES, ("/livez", "/readyz", "/health")):
            url = system.stack.addresses.url(service) + path
            group.create_task(look(http, "GET", url, f"GET http:{service}{path}"))
        for path in READS:
            group.create_task(look(public, "GET", path))
        group.create_task(look(public, "POST", "/v1/uploads", files={"file": ("a.png", picture.getvalue())}))
        try:
            yield seen
        finally:
            stopping.set()
