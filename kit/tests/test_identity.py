"""The internal token: good for one request to one service for half a minute, and for nothing else."""

import base64
import time
from types import SimpleNamespace
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from kit import http, identity
from kit.identity import Caller, CallerDep, Minter, Verifier
from kit.problems import Problem
from kit.testing.identity import KeyPairs

KEYS = KeyPairs()
CALLER = Caller("acc_1", "key_1", frozenset({"jobs:read", "jobs:write"}))
MINTER = Minter(KEYS.private_key)
VERIFIER = Verifier(KEYS.public_key, audience="billing")


def token(**changed: Any) -> str:
    request = {"audience": "billing", "method": "GET", "path": "/v1/credits"} | changed
    return MINTER.mint(CALLER, **request)


def signed(key: Any, algorithm: str | None = "EdDSA", **changed: Any) -> str:
    """A token as somebody else may make it; a claim set to None is left out."""
    now = int(time.time())
    claims = {
        "iss": "atelier-gateway",
        "aud": "billing",
        "sub": "acc_1",
        "htm": "GET",
        "htu": "/v1/credits",
        "iat": now,
        "exp": now + 30,
    } | changed
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm=algorithm)


def ours() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(KEYS.private_key))


class TestVerifier:
    def test_a_token_of_gateway_names_the_caller(self) -> None:
        assert VERIFIER.verify(token(), method="GET", path="/v1/credits") == CALLER

    @pytest.mark.parametrize(
        "refused",
        [
            pytest.param(token(audience="storage"), id="for another service"),
            pytest.param(token(method="POST"), id="for another method"),
            pytest.param(token(path="/v1/credits/transactions"), id="for another path"),
            pytest.param(signed(ours(), exp=int(time.time()) - 60), id="expired"),
            pytest.param(signed(ours(), iat=int(time.time()) + 600), id="not valid yet"),
            pytest.param(signed(Ed25519PrivateKey.generate()), id="signed by another key"),
            pytest.param(signed(None, "none"), id="not signed"),
            pytest.param(signed(KEYS.public_key.ljust(64, "="), "HS256"), id="the public key as a shared secret"),
            pytest.param(signed(ours(), iss="somebody"), id="another issuer"),
            *(pytest.param(signed(ours(), **{name: None}), id=f"no {name}") for name in ("aud", "exp", "sub", "htm")),
            pytest.param(token()[:-4] + "AAAA", id="changed signature"),
            pytest.param("not.a.token", id="garbage"),
            pytest.param("", id="empty"),
        ],
    )
    def test_anything_else_is_refused(self, refused: str) -> None:
        with pytest.raises(Problem) as caught:
            VERIFIER.verify(refused, method="GET", path="/v1/credits")
        assert (caught.value.status, caught.value.code) == (401, "unauthenticated")

    def test_a_token_lives_half_a_minute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        long_ago = time.time() - identity.LIFETIME_SECONDS - identity.LEEWAY_SECONDS - 1
        monkeypatch.setattr(identity.time, "time", lambda: long_ago)
        old = token()
        monkeypatch.undo()

        with pytest.raises(Problem):
            VERIFIER.verify(old, method="GET", path="/v1/credits")


class TestRoute:
    @pytest.fixture
    def client(self) -> httpx2.AsyncClient:
        app = FastAPI()
        http.install(app, service="toy")
        app.state.service = SimpleNamespace(verifier=VERIFIER)

        @app.get("/v1/credits")
        async def who(caller: CallerDep) -> str:
            return caller.account_id

        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://billing.test")

    async def test_a_route_knows_its_caller(self, client: httpx2.AsyncClient) -> None:
        answer = await client.get("/v1/credits", headers={"Authorization": f"Bearer {token()}"})
        assert (answer.status_code, answer.json()) == (200, "acc_1")

    @pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer \u00e4.b.c"])
    async def test_without_a_token_a_route_is_closed(self, client: httpx2.AsyncClient, header: str | None) -> None:
        headers = {} if header is None else {"Authorization": header.encode("latin-1")}
        answer = await client.get("/v1/credits", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthenticated"
        assert answer.headers["www-authenticate"] == "Bearer"
