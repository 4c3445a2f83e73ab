"""Pass-through: routes that another service owns, reached with gateway's token in place of the caller's credentials.

Answers and uploads are streamed; other bodies are small, and read before their owner is called. Only headers that the
owner has a use for go in, and none that speak of a single hop come out.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx2
import structlog
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.auth import Authenticator
from gateway.errors import service_unavailable, too_many_open_requests
from gateway.keys import Scope as KeyScope
from gateway.limits import address_of
from gateway.owners import Owner, OwnerClient
from kit.identity import Caller
from kit.places import Turns
from kit.problems import Problem, too_many_uploads, upload_stalled

log = structlog.get_logger()

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
"""All of them: the owner knows which it allows."""
FORWARDED = frozenset(
    {
        b"accept",
        b"accept-language",
        b"content-length",
        b"content-type",
        b"idempotency-key",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"prefer",
        b"range",
    }
)
WITHHELD = frozenset(
    {
        # of one hop (RFC 9110, section 7.6.1)
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # gateway's own
        b"date",
        b"server",
        b"set-cookie",
        b"x-request-id",
    }
)
PATIENCE_SECONDS = 5.0
"""How long a request waits for others of its caller to be answered."""
UPLOADS_PER_ACCOUNT = 8
"""In one process at a time: storage refuses earlier, but a refusal from there is heard when the body has been sent."""
SILENCE_SECONDS = 30.0
Headers = list[tuple[bytes, bytes]]  # as they came: they need not be text of any encoding


def make_router(others: tuple[Owner, ...], client: OwnerClient) -> APIRouter:
    """One pair of routes for every public path of another service. The owners' own documents describe them."""
    router = APIRouter(include_in_schema=False)
    for owner in others:
        requests, uploads = _Requests(owner, client), _Uploads()
        for path in owner.paths:
            endpoint = _Endpoint(owner, client, path, uploads if path in owner.uploads else requests)
            router.add_api_route(path, endpoint.pass_on, methods=METHODS, name=f"{owner.name} {path}")
            router.add_api_route(path + "/{rest:path}", endpoint.pass_on, methods=METHODS, name=f"{owner.name} {path}/")
    return router


class _Requests:
    """Who may ask an owner now."""

    def __init__(self, owner: Owner, client: OwnerClient) -> None:
        self._owner = owner
        self._client = client

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """A turn while the block runs. Raises Problem 429 when none comes for a while."""
        async with AsyncExitStack() as place:
            try:
                await place.enter_async_context(self._client.turn(self._owner, caller, patience=PATIENCE_SECONDS))
            except TimeoutError as error:
                raise too_many_open_requests(self._owner.name) from error
            yield


class _Uploads:
    """The uploads that are on their way to one owner. One too many is refused at once: its body would only wait."""

    def __init__(self) -> None:
        self._turns = Turns(UPLOADS_PER_ACCOUNT, too_many_uploads)

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Count an upload while the block runs. Raises Problem 429."""
        with self._turns.turn(caller):
            yield


class _PassedOn(StreamingResponse):
    """What an owner answers, on its way to the caller. Until it ends it ``holds`` the connection and the turn."""

    def __init__(self, answer: httpx2.Response, holds: AsyncExitStack) -> None:
        super().__init__(answer.aiter_raw(), answer.status_code)
        self.raw_headers = _answer_headers(answer)
        self._holds = holds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._holds:
            await super().__call__(scope, receive, send)


class _Endpoint:
    """Passes requests on to one service."""

    def __init__(self, owner: Owner, client: OwnerClient, path: str, turns: _Requests | _Uploads) -> None:
        self._owner = owner
        self._client = client
        self._turns = turns
        self._needs_caller = path not in owner.open_to_all
        self._to_change: KeyScope = "manage" if path in owner.managed else "write"
        self._takes_uploads = path in owner.uploads

    async def pass_on(self, request: Request) -> Response:
        caller = await self._caller(request)
        path, target = _target(request)
        content = await self._content(request)
        async with AsyncExitStack() as holds:
            await holds.enter_async_context(self._turns.turn(caller.account_id if caller else address_of(request)))
            try:
                answer = await self._client.send(
                    self._owner,
                    request.method,
                    path,
                    caller=caller,
                    raw_target=target,
                    headers=_headers(request),
                    content=content,
                )
            except httpx2.TransportError as error:
                log.warning("owner.unreachable", owner=self._owner.name, path=path, reason=repr(error))
                raise service_unavailable(self._owner.name) from error
            holds.push_async_callback(answer.aclose)  # before the turn ends: who gets it next needs the connection
            if answer.status_code == httpx2.codes.UNAUTHORIZED:
                log.error("owner.refused_identity", owner=self._owner.name, path=path)
                raise service_unavailable(self._owner.name)
            request.state.excuse = "owner"  # if it is an error, it is counted there
            return _PassedOn(answer, holds.pop_all())

    async def _content(self, request: Request) -> AsyncIterator[bytes] | bytes | None:
        if not _has_body(request):
            return None
        return _until_silent(request) if self._takes_uploads else await request.body()

    async def _caller(self, request: Request) -> Caller | None:
        authenticator: Authenticator = request.app.state.authenticator
        if not self._needs_caller:
            authenticator.limit_address(request)
            return None
        return await authenticator.authenticate(request, to_change=self._to_change)


def _target(request: Request) -> tuple[str, bytes]:
    """The decoded path, and path and query as they came. Raises Problem 404 for a path that climbs."""
    raw_path: bytes = request.scope["raw_path"]
    path = request.url.path
    if any(part in {"", ".", ".."} for part in path.split("/")[1:]):
        raise Problem(404, "not_found", "There is no such path.")
    query: bytes = request.scope["query_string"]
    return path, raw_path + b"?" + query if query else raw_path


def _headers(request: Request) -> Headers:
    forwarded = [(name, value) for name, value in request.scope["headers"] if name in FORWARDED]
    return [*forwarded, (b"x-request-id", request.state.request_id.encode())]


def _has_body(request: Request) -> bool:
    return "content-length" in request.headers or "transfer-encoding" in request.headers


async def _until_silent(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises Problem 408 when nothing more does."""
    parts = request.stream()
    while True:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                part = await anext(parts)
        except TimeoutError as error:
            raise upload_stalled() from error
        except StopAsyncIteration:
            return
        yield part


def _answer_headers(answer: httpx2.Response) -> Headers:
    named_by_connection = {name.strip().lower().encode() for name in answer.headers.get("connection", "").split(",")}
    withheld = WITHHELD | named_by_connection
    return [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in withheld]
