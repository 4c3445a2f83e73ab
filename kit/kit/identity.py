"""Who calls: the short-lived Ed25519 token with which gateway speaks for a customer inside the house.

Only gateway holds the private key. A token names the account, the actor, its scopes, and the one service, method and
path it is good for, for 30 seconds; services trust nothing else.
"""

import base64
import time
from dataclasses import dataclass
from typing import Annotated, Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fastapi import Depends, Request

from kit.problems import Problem

ALGORITHM = "EdDSA"
ISSUER = "atelier-gateway"
LIFETIME_SECONDS = 30
LEEWAY_SECONDS = 5
HEADER = "Authorization"


@dataclass(frozen=True, slots=True)
class Caller:
    """The customer on whose behalf a request runs. ``actor`` is the API key or session that sent it."""

    account_id: str
    actor: str
    scopes: frozenset[str]


class Minter:
    """Signs tokens; lives in gateway alone."""

    def __init__(self, private_key: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(private_key))

    def mint(self, caller: Caller, *, audience: str, method: str, path: str) -> str:
        """A token for one request to one service."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "sub": caller.account_id,
            "act": caller.actor,
            "scope": " ".join(sorted(caller.scopes)),
            "htm": method,
            "htu": path,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)


class Verifier:
    """Checks tokens that are addressed to one service."""

    def __init__(self, public_key: str, *, audience: str) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key))
        self._audience = audience

    def verify(self, token: str, *, method: str, path: str) -> Caller:
        """The caller behind a token. Raises Problem 401."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=ISSUER,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "htm", "htu"]},
            )
        except jwt.InvalidTokenError as error:
            raise _refusal("the internal token is not valid") from error
        if claims["htm"] != method or claims["htu"] != path:
            raise _refusal("the internal token is for another request")
        return Caller(claims["sub"], claims.get("act", ""), frozenset(claims.get("scope", "").split()))


async def _caller(request: Request) -> Caller:
    scheme, _, token = request.headers.get(HEADER, "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _refusal("this service is reached through gateway only")
    verifier: Verifier = request.app.state.service.verifier
    caller = verifier.verify(token, method=request.method, path=request.url.path)
    request.state.account_id = caller.account_id
    return caller


CallerDep = Annotated[Caller, Depends(_caller)]
"""The authenticated customer of a route."""


def _refusal(detail: str) -> Problem:
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"})
