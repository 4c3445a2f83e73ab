"""The HTTP edge that all services share: request ids, body limit, patience, metrics, traces, sessions for routes."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, Request
from opentelemetry.trace import SpanKind
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit import metrics, problems, tracing
from kit.database import Database, ReadSession, WriteSession
from kit.patience import Patience
from shared.ids import new_id

log = structlog.get_logger()

MAX_BODY_BYTES = 64 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
QUIET = frozenset({"/livez", "/readyz", "/health", "/metrics"})


async def _read(request: Request) -> AsyncIterator[ReadSession]:
    db: Database = request.app.state.service.db
    async with db.place(of=_account_of(request)), db.read() as session:
        yield session


async def _write(request: Request) -> AsyncIterator[WriteSession]:
    db: Database = request.app.state.service.db
    async with db.place(of=_account_of(request)), db.write() as session:
        yield session


def _account_of(request: Request) -> str:
    """Whoever finds out who calls notes it; strangers are one account."""
    return getattr(request.state, "account_id", "")


# scope="function": the transaction ends before the answer is sent, so a 2xx means durable
ReadDep = Annotated[ReadSession, Depends(_read, scope="function")]
WriteDep = Annotated[WriteSession, Depends(_write, scope="function")]


def install(app: FastAPI, *, service: str, db: Database | None = None, max_body_bytes: int = MAX_BODY_BYTES) -> None:
    """Give an app problem details, request ids, a body limit, metrics and traces, and patience with its database."""
    problems.install(app)
    app.add_middleware(RequestMiddleware, service=service, db=db, max_body_bytes=max_body_bytes)


class RequestMiddleware:
    """One pass over every request, written against bare ASGI because it is on every hot path."""

    def __init__(self, app: ASGIApp, *, service: str, db: Database | None, max_body_bytes: int) -> None:
        self._app = app
        self._patience = Patience(db) if db is not None else None
        self._service = service
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"] if name in {b"x-request-id", b"traceparent"}}
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = new_id("req")
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 500
        started = False
        began = time.perf_counter()
        seconds = 0.0

        async def send_with_id(message: Message) -> None:
            nonlocal status, started, seconds
            if message["type"] == "http.response.start":
                started, status = True, message["status"]
                seconds = time.perf_counter() - began  # a stream is not slow because it is long
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)
        traceparent = headers.get(b"traceparent", b"").decode("latin-1") or None
        try:
            if scope["path"] in QUIET:
                await self._app(scope, receive, send_with_id)
                return
            method = scope["method"]
            with tracing.span(method, traceparent, kind=SpanKind.SERVER, request_id=request_id) as span:
                try:
                    async with self._patience.limit(lambda: started) if self._patience else nullcontext():
                        await self._app(scope, self._limited(scope, receive), send_with_id)
                finally:
                    span.update_name(f"{method} {problems.route_of(scope)}")  # known only now
        except Exception as error:
            answer = await problems.unexpected(Request(scope), error)
            if started:
                raise  # the client already has a status; a broken connection tells it the rest
            await answer(scope, receive, send_with_id)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
            self._measure(scope, status, seconds if started else time.perf_counter() - began)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        limit = max(self._max_body_bytes, getattr(scope["app"].state, "body_limits", {}).get(scope["path"], 0))
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, f"The body is larger than {limit:,} bytes.")
            return message

        return limited

    def _measure(self, scope: Scope, status: int, seconds: float) -> None:
        route = problems.route_of(scope)
        if route in QUIET:
            return
        excuse = scope["state"].get("excuse", "") if status >= 500 else ""
        metrics.HTTP_REQUESTS.labels(self._service, scope["method"], route, status, excuse).inc()
        metrics.HTTP_SECONDS.labels(self._service, route).observe(seconds)
