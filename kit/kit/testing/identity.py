"""Callers for tests: a key pair of the test's own, and a client that speaks for an account like gateway does."""

import base64
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kit.identity import Caller, Minter
from kit.service import Service


class KeyPairs:
    """Base64 raw keys for identity tokens (Ed25519) and sealed secrets (X25519)."""

    def __init__(self) -> None:
        signing, sealing = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
        self.private_key = base64.b64encode(signing.private_bytes_raw()).decode()
        self.public_key = base64.b64encode(signing.public_key().public_bytes_raw()).decode()
        self.seal_private_key = base64.b64encode(sealing.private_bytes_raw()).decode()
        self.seal_public_key = base64.b64encode(sealing.public_key().public_bytes_raw()).decode()


IDENTITY = KeyPairs()


class _Identified(httpx2.Auth):
    def __init__(self, service: str, caller: Caller) -> None:
        self._service = service
        self._caller = caller
        self._minter = Minter(IDENTITY.private_key)

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        token = self._minter.mint(self._caller, audience=self._service, method=request.method, path=request.url.path)
        request.headers["Authorization"] = f"Bearer {token}"
        yield request


@asynccontextmanager
async def client(service: Service, *, account_id: str | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client on the service's app; with ``account_id`` its requests carry that account's internal identity."""
    auth = None
    if account_id is not None:
        auth = _Identified(service.name, Caller(account_id, "key_test", frozenset({"*"})))
    transport = httpx2.ASGITransport(app=service.create_app(), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://service.test", auth=auth) as http:
        yield http
