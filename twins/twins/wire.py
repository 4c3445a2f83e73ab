"""Bad behaviour on the wire: answers that break off, never come, or are not what their headers say.

Each response class misbehaves in exactly one way and ends cleanly on the server's side, so that a fault
injected into one call never disturbs another.
"""

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

TRANSPORT = "twins.transport"


class AbortableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that also hands its transport to the application, which ASGI itself does not."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


class DropConnection(Response):
    """Closes the connection without a single byte of answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send  # nothing is ever sent
        _transport(scope).abort()
        await _client_gone(receive)


class NeverAnswer(Response):
    """Holds the connection open and says nothing until the client leaves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, send  # nothing is ever sent
        await _client_gone(receive)


class TruncatedAnswer(Response):
    """Announces the whole body, sends the first half of it and closes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        _transport(scope).close()
        await _client_gone(receive)


def _transport(scope: Scope) -> asyncio.Transport:
    transport: asyncio.Transport = scope["extensions"][TRANSPORT]["transport"]
    return transport


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
