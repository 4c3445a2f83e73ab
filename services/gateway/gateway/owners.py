"""The other services, as gateway calls them: on behalf of a customer, with a token that is good for one request.

Each has connections of its own, so that one which does not answer keeps nobody from the others. Callers share them:
whoever asks for much at once waits for his own.
"""

import asyncio
import ssl
from collections.abc import AsyncIterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass

import httpx2

from gateway.settings import GatewaySettings
from kit.identity import Caller, Minter
from kit.places import Places
from kit.tracing import current_traceparent

TIMEOUT = httpx2.Timeout(30.0, connect=2.0, pool=5.0)
# Of one owner. It closes idle connections after 30 s.
LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=50, keepalive_expiry=15.0)
UPLOAD_LIMITS = httpx2.Limits(max_connections=200, max_keepalive_connections=10, keepalive_expiry=15.0)

BILLING_PATHS = (
    "/v1/credits",
    "/v1/prices",
    "/v1/offers",
    "/v1/quotes",
    "/v1/spend-limits",
    "/v1/checkout-sessions",
    "/v1/portal-sessions",
    "/v1/subscription",
)


@dataclass(frozen=True, slots=True)
class Owner:
    """A service, and the public paths that it serves.

    ``open_to_all`` of them need no credentials, changes under those that are ``managed`` need the scope ``manage``, and
    ``uploads`` take bodies that may be long on their way.
    """

    name: str
    url: str
    paths: tuple[str, ...]
    open_to_all: tuple[str, ...] = ()
    managed: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()


def owners(settings: GatewaySettings) -> tuple[Owner, ...]:
    """Who serves what."""
    return (
        Owner(
            "billing",
            settings.billing_url,
            BILLING_PATHS,
            open_to_all=("/v1/prices", "/v1/offers"),
            managed=("/v1/spend-limits", "/v1/portal-sessions"),
        ),
        Owner("generation", settings.generation_url, ("/v1/models",)),
        Owner("storage", settings.storage_url, ("/v1/assets", "/v1/uploads"), uploads=("/v1/uploads",)),
        Owner("publishing", settings.publishing_url, ("/v1/deliveries", "/v1/webhook-secret")),
    )


class OwnerClient:
    """Calls the other services. Raises httpx2.TransportError when one does not answer."""

    def __init__(self, minter: Minter, owners: Sequence[Owner]) -> None:
        self._minter = minter
        # a quarter is left to what gateway asks by itself
        places = max(1, (LIMITS.max_connections or 0) * 3 // 4)
        self._places = {owner.name: Places(places, shared=True) for owner in owners}
        tls = httpx2.create_ssl_context(trust_env=False)  # dear to make
        self._http = {owner.name: _client(LIMITS, tls) for owner in owners}
        # apart, because a slow upload holds its connection for as long as it lasts
        self._uploads = {owner.name: _client(UPLOAD_LIMITS, tls) for owner in owners if owner.uploads}

    def turn(self, owner: Owner, caller: str, *, patience: float) -> AbstractAsyncContextManager[None]:
        """A caller's turn at the connections to a service while the block runs. Raises TimeoutError."""
        return self._places[owner.name].place(caller, patience=patience)

    async def send(
        self,
        owner: Owner,
        method: str,
        path: str,
        *,
        caller: Caller | None = None,
        raw_target: bytes | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
        content: AsyncIterable[bytes] | bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of the transport
    ) -> httpx2.Response:
        """Send a request and return the answer with its body unread; the caller closes it.

        ``path`` is the decoded path that the token is good for, ``raw_target`` path and query as they go on the wire.
        """
        url = httpx2.URL(owner.url).copy_with(raw_path=raw_target or path.encode())
        sent = [*headers, (b"accept-encoding", b"identity"), (b"traceparent", current_traceparent().encode())]
        if caller is not None:
            token = self._minter.mint(caller, audience=owner.name, method=method, path=path)
            sent.append((b"authorization", f"Bearer {token}".encode()))
        patience = TIMEOUT if timeout is None else httpx2.Timeout(timeout)
        http = (self._uploads if path in owner.uploads else self._http)[owner.name]
        request = http.build_request(method, url, headers=sent, content=content, timeout=patience)
        return await http.send(request, stream=True)

    async def get_json(
        self,
        owner: Owner,
        path: str,
        *,
        caller: Caller | None = None,
        query: str = "",
        seconds: float,
    ) -> object:
        """The JSON that a service answers, whole within ``seconds``. Raises httpx2.HTTPError or ValueError.

        What is asked for a ``caller`` takes the caller's turn.
        """
        target = f"{path}?{query}".encode() if query else None
        turn = nullcontext() if caller is None else self.turn(owner, caller.account_id, patience=seconds)
        try:
            async with asyncio.timeout(seconds), turn:  # the transport's own counts anew with every byte
                response = await self.send(owner, "GET", path, caller=caller, raw_target=target, timeout=seconds)
                try:
                    response.raise_for_status()
                    await response.aread()
                    return response.json()
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise httpx2.ReadTimeout("no complete answer in time") from error

    async def close(self) -> None:
        """Close connections."""
        for http in (*self._http.values(), *self._uploads.values()):
            await http.aclose()


def _client(limits: httpx2.Limits, tls: ssl.SSLContext) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(timeout=TIMEOUT, limits=limits, verify=tls, trust_env=False)
