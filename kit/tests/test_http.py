"""The HTTP edge: request ids, the body limit, problem details for every error, and transactions that end in time."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import structlog
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY
from pydantic import BaseModel, SecretStr
from starlette.types import Message

from kit import http, testing, tracing
from kit.http import MAX_BODY_BYTES
from kit.places import Places
from kit.problems import MEDIA_TYPE, Problem
from kit.service import Service
from kit.testing import emitted
from shared.ids import decode
from toy.app import build


class Order(BaseModel):
    size: int
    note: str = ""


def app() -> FastAPI:
    app = FastAPI()
    http.install(app, service="edge")
    app.state.body_limits = {"/uploads": 2 * MAX_BODY_BYTES}

    @app.post("/orders")
    @app.post("/uploads")
    async def make(order: Order) -> int:
        return order.size

    @app.get("/orders/{number}")
    async def show(number: int) -> int:
        raise Problem(404, "no_order", f"There is no order {number}.", headers={"X-Hint": "look"}, number=number)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the secret is s3same")

    @app.get("/sign-in/{ticket}")
    async def sign_in(ticket: str, away: bool) -> None:
        raise ConnectionRefusedError if away else RuntimeError

    @app.get("/away")
    async def away() -> None:
        raise ConnectionRefusedError("10.0.0.5:5432")

    @app.get("/full")
    async def full() -> None:
        async with Places(0).place("a", patience=0.0):
            pass

    @app.get("/busy")
    async def busy() -> None:
        raise Problem(503, "busy", "Come again.", excuse="busy")

    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app())
    async with httpx2.AsyncClient(transport=transport, base_url="http://edge.test") as client:
        yield client


def problem_of(answer: httpx2.Response) -> dict[str, Any]:
    """The problem of an answer, which has the form of all problems."""
    assert answer.headers["content-type"] == MEDIA_TYPE
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:atelier:problem:{body['code']}"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["detail"]
    return body


def requests(route: str, status: int, *, excuse: str = "") -> float:
    labels = {"service": "edge", "method": "GET", "route": route, "status": str(status), "excuse": excuse}
    return REGISTRY.get_sample_value("atelier_http_requests_total", labels) or 0.0


class TestRequestId:
    async def test_a_good_id_is_echoed(self, client: httpx2.AsyncClient) -> None:
        answer = await client.post("/orders", json={"size": 1}, headers={"X-Request-Id": "trace-7:a.b_c"})
        assert answer.headers["x-request-id"] == "trace-7:a.b_c"

    @pytest.mark.parametrize("bad", [b"", b"a b", b"x" * 129, b"<script>", b"\xe4", b"a\nb", b"a\n"])
    async def test_any_other_is_replaced_by_one_of_ours(self, client: httpx2.AsyncClient, bad: bytes) -> None:
        answer = await client.post("/orders", json={"size": 1}, headers={b"X-Request-Id": bad})
        assert decode(answer.headers["x-request-id"])

    async def test_it_is_in_the_log_lines_of_the_request(self, client: httpx2.AsyncClient) -> None:
        with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
            await client.get("/broken", headers={"X-Request-Id": "req-1"})
        assert [entry["request_id"] for entry in logs if entry["event"] == "request.failed"] == ["req-1"]


class TestTime:
    async def test_a_stream_counts_until_it_begins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [0.0]
        monkeypatch.setattr(http, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
        streaming = app()

        @streaming.get("/stream")
        async def stream() -> StreamingResponse:
            clock[0] += 2.0

            async def parts() -> AsyncIterator[bytes]:
                clock[0] += 3600.0
                yield b"data: 1"

            return StreamingResponse(parts())

        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=streaming), base_url="http://edge.test"
        ) as client:
            assert (await client.get("/stream")).content == b"data: 1"

        assert REGISTRY.get_sample_value("atelier_http_seconds_sum", {"service": "edge", "route": "/stream"}) == 2.0


class TestSecretsInPaths:
    @pytest.mark.parametrize("away", [True, False])
    async def test_logs_and_spans_name_the_route_and_never_the_path(
        self, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, away: bool
    ) -> None:
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))

        with structlog.testing.capture_logs() as logs:
            await client.get(f"/sign-in/t1cket?away={away}")

        (span,) = exporter.get_finished_spans()
        assert span.name == "GET /sign-in/{ticket}"
        assert [entry["route"] for entry in logs] == ["/sign-in/{ticket}"]
        assert "t1cket" not in span.to_json()
        assert "t1cket" not in str([{**entry, "exc_info": None} for entry in logs])
        provider.shutdown()


class TestBodyLimit:
    def body(self, size: int) -> bytes:
        return b'{"size": 1, "note": "' + b"x" * (size - 23) + b'"}'

    async def test_a_body_at_the_limit_is_read_and_one_byte_more_is_refused(self, client: httpx2.AsyncClient) -> None:
        headers = {"content-type": "application/json"}
        fits = await client.post("/orders", content=self.body(MAX_BODY_BYTES), headers=headers)
        too_big = await client.post("/orders", content=self.body(MAX_BODY_BYTES + 1), headers=headers)

        assert fits.status_code == 200
        assert problem_of(too_big)["code"] == "body_too_large"
        assert too_big.status_code == 413

    async def test_a_body_without_a_length_is_cut_off_as_well(self, client: httpx2.AsyncClient) -> None:
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 1024
                yield b" " * 1024

        answer = await asyncio.wait_for(client.post("/orders", content=endless()), 10)

        assert answer.status_code == 413
        assert sent <= MAX_BODY_BYTES + 2 * 1024

    async def test_a_client_that_leaves_in_the_middle_is_no_failure_of_ours(self) -> None:
        reading = app()

        @reading.post("/notes")
        async def note(request: Request) -> None:
            await request.body()

        told: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            told.append(message)

        with structlog.testing.capture_logs() as logs:
            scope = {"type": "http", "method": "POST", "path": "/notes", "headers": [], "query_string": b""}
            await reading(scope, receive, send)

        assert told[0]["status"] == 400
        assert logs == []

    async def test_a_route_may_take_more(self, client: httpx2.AsyncClient) -> None:
        headers = {"content-type": "application/json"}
        answer = await client.post("/uploads", content=self.body(2 * MAX_BODY_BYTES), headers=headers)
        assert answer.status_code == 200


class TestProblems:
    async def test_a_problem_has_its_code_its_headers_and_its_own_members(self, client: httpx2.AsyncClient) -> None:
        answer = await client.get("/orders/7")
        body = problem_of(answer)
        assert (answer.status_code, body["code"], body["number"]) == (404, "no_order", 7)
        assert body["instance"] == "/orders/7"
        assert answer.headers["x-hint"] == "look"

    async def test_fields_at_fault_are_named_and_their_values_are_not_echoed(self, client: httpx2.AsyncClient) -> None:
        body = problem_of(await client.post("/orders", json={"size": "s3cret", "note": 5}))

        assert (body["status"], body["code"]) == (422, "invalid_request")
        assert [fault["field"] for fault in body["errors"]] == ["size", "note"]
        assert "s3cret" not in str(body)

    async def test_a_body_that_is_not_json_is_told(self, client: httpx2.AsyncClient) -> None:
        answer = await client.post("/orders", content=b"{", headers={"content-type": "application/json"})
        assert (answer.status_code, problem_of(answer)["code"]) == (400, "invalid_json")

    @pytest.mark.parametrize(
        ("method", "path", "code"), [("GET", "/none", "not_found"), ("PUT", "/orders", "method_not_allowed")]
    )
    async def test_unknown_routes_and_methods_are_problems_too(
        self, client: httpx2.AsyncClient, method: str, path: str, code: str
    ) -> None:
        assert problem_of(await client.request(method, path))["code"] == code

    async def test_an_unexpected_error_is_logged_and_says_nothing_of_the_inside(
        self, client: httpx2.AsyncClient
    ) -> None:
        before = requests("/broken", 500)
        with structlog.testing.capture_logs() as logs:
            answer = await client.get("/broken")

        body = problem_of(answer)
        assert (answer.status_code, body["code"]) == (500, "internal_error")
        assert "s3same" not in answer.text
        assert [type(entry["exc_info"]) for entry in logs] == [RuntimeError]
        assert requests("/broken", 500) - before == 1

    async def test_a_server_that_is_away_asks_for_another_try(self, client: httpx2.AsyncClient) -> None:
        before = requests("/away", 503)
        answer = await client.get("/away")

        assert (answer.status_code, problem_of(answer)["code"]) == (503, "temporarily_unavailable")
        assert answer.headers["retry-after"] == "2"
        assert "10.0.0.5" not in answer.text
        assert requests("/away", 503) - before == 1

    @pytest.mark.parametrize(("path", "code"), [("/full", "temporarily_unavailable"), ("/busy", "busy")])
    async def test_a_refusal_under_load_is_not_counted_as_a_fault(
        self, client: httpx2.AsyncClient, path: str, code: str
    ) -> None:
        faults, refusals = requests(path, 503), requests(path, 503, excuse="busy")
        answer = await client.get(path)

        assert (answer.status_code, problem_of(answer)["code"]) == (503, code)
        assert "excuse" not in answer.json()
        assert requests(path, 503, excuse="busy") - refusals == 1
        assert requests(path, 503) == faults


class TestTransactions:
    async def test_what_a_route_wrote_is_durable_before_it_answers(self, toy: Service) -> None:
        async with testing.client(toy) as client:
            answer = await client.post("/marks", json={"thing": "a"})
            assert answer.status_code == 201
        assert [event.key for event in await emitted(toy.db)] == ["a"]

    async def test_a_transaction_that_cannot_commit_is_no_success(self, toy: Service) -> None:
        async with testing.client(toy) as client:
            answer = await client.post("/marks", json={"thing": "a", "note": "x" * 63_000, "job_id": "nul\x00"})
        assert answer.status_code == 500
        assert await emitted(toy.db) == []

    async def test_a_database_that_is_away_is_a_503(self, toy: Service) -> None:
        nowhere = SecretStr("postgresql+asyncpg://x:x@127.0.0.1:1/x")
        away = build(toy.settings.model_copy(update={"database_url": nowhere}))
        async with testing.client(away) as client:
            answer = await client.post("/marks", json={"thing": "a"})
        assert (answer.status_code, problem_of(answer)["code"]) == (503, "temporarily_unavailable")
