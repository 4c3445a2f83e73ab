"""Who calls the public API: an API key in the ``Authorization`` header, or the page's session cookie.

What was looked up is remembered for a few seconds, so that a busy caller costs no query per request, and those who show
the same credentials at the same time are looked up once. Ending a key in this process counts at once, in other
processes within those seconds. Looking up takes a place, so nobody who has one may do it. It is what a stranger can
make us do, so it is limited by address unless the caller proves to be known; the requests of who is known are limited
by account.
"""

import hmac
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from gateway.errors import foreign_origin, unauthenticated
from gateway.flights import Flights
from gateway.keys import Scope, digest, find_key, prefix_of
from gateway.limits import RateLimiter, address_of
from gateway.principals import Principal
from gateway.sessions import COOKIE, signed_in
from kit.database import Database
from kit.problems import insufficient_scope

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_REMEMBERED = 10_000


class Authenticator:
    """Finds out who sent a request."""

    def __init__(self, db: Database, accounts: RateLimiter, addresses: RateLimiter, *, remember: timedelta) -> None:
        self._db = db
        self._accounts = accounts
        self._addresses = addresses
        self._remember_seconds = remember.total_seconds()
        self._known: dict[bytes, tuple[Principal, float]] = {}
        self._times_forgotten = 0
        self._keys = Flights(self._find_by_key)
        self._sessions = Flights(self._find_by_session)

    async def authenticate(self, request: Request, *, to_change: Scope = "write") -> Principal:
        """The caller; a method that is not safe needs the scope ``to_change``. Raises Problem 401, 403 or 429."""
        key = _bearer(request)
        if key is not None:
            caller = await self._recall(request, key, self.by_key)
            if caller is None:
                raise unauthenticated("This API key is not valid: it is unknown, expired or revoked.")
        else:
            caller = await self._by_cookie(request)
        needed = "read" if request.method in SAFE_METHODS else to_change
        if needed not in caller.scopes:
            raise insufficient_scope(needed)
        self.limit_account(request, caller)
        return caller

    async def is_still_valid(self, request: Request) -> bool:
        """Whether the credentials of a request that was let in and goes on have not ended since."""
        key = _bearer(request)
        token, find = (request.cookies[COOKIE], self._by_session) if key is None else (key, self.by_key)
        return (self._remembered(token) or await self._look_up(token, find)) is not None

    def limit_account(self, request: Request, caller: Principal) -> None:
        """Count a request of somebody who is known; the answer tells what is left. Raises Problem 429."""
        request.state.account_id = caller.account_id
        request.state.rate_limit = self._accounts.take(caller.account_id)

    def limit_address(self, request: Request) -> None:
        """Count a request of somebody who is not known, or not yet. Raises Problem 429."""
        self._addresses.take(address_of(request))

    def forget(self, *names: str) -> None:
        """Do not trust what is remembered, or found before now, of these keys and their sessions or these sessions."""
        self._times_forgotten += 1
        self._keys.close()
        self._sessions.close()
        self._known = {
            token: known
            for token, known in self._known.items()
            if known[0].actor not in names and known[0].api_key_id not in names
        }

    async def _by_cookie(self, request: Request) -> Principal:
        token = request.cookies.get(COOKIE)
        if token is None:
            raise unauthenticated("Send an API key: `Authorization: Bearer atl_...`.")
        if request.method not in SAFE_METHODS and not is_same_origin(request):
            raise foreign_origin()
        caller = await self._recall(request, token, self._by_session)
        if caller is None:
            raise unauthenticated("The session has ended; sign in again.")
        return caller

    async def _recall(
        self, request: Request, token: str, find: Callable[[str], Awaitable[Principal | None]]
    ) -> Principal | None:
        if (remembered := self._remembered(token)) is not None:
            return remembered
        self.limit_address(request)
        caller = await self._look_up(token, find)
        if caller is not None:
            self._addresses.give_back(address_of(request))  # behind it may be a product with thousands of customers
        return caller

    def _remembered(self, token: str) -> Principal | None:
        caller, until = self._known.get(digest(token), (None, 0.0))
        return caller if until > time.monotonic() else None

    async def _look_up(self, token: str, find: Callable[[str], Awaitable[Principal | None]]) -> Principal | None:
        times_forgotten = self._times_forgotten
        caller = await find(token)
        if caller is not None and times_forgotten == self._times_forgotten:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[digest(token)] = caller, time.monotonic() + self._remember_seconds
        return caller

    async def by_key(self, key: str) -> Principal | None:
        """Whose API key this is; None when it is not valid. Takes a place. Raises TimeoutError."""
        return None if prefix_of(key) is None else await self._keys.ask(key)

    async def _by_session(self, token: str) -> Principal | None:
        return await self._sessions.ask(token)

    async def _find_by_key(self, key: str) -> Principal | None:
        prefix = prefix_of(key)
        if prefix is None:
            return None
        async with self._db.place(of=prefix), self._db.read() as session:
            found = await find_key(session, prefix=prefix)
        if found is None or not hmac.compare_digest(found.hash, digest(key)):
            return None
        return Principal(found.account_id, found.id, frozenset(found.scopes), found.id, found.expires_at)

    async def _find_by_session(self, token: str) -> Principal | None:
        async with self._db.place(of=digest(token).hex()), self._db.read() as session:
            browser = await signed_in(session, token=token)
        return None if browser is None else browser.principal


def is_same_origin(request: Request) -> bool:
    """Whether a browser says that our own page sent this request."""
    try:
        origin = urlsplit(request.headers.get("Origin", "")).netloc
    except ValueError:  # no browser sends such a one
        return False
    return bool(origin) and origin == request.headers.get("Host")


def _bearer(request: Request) -> str | None:
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer":
        raise unauthenticated("Only `Authorization: Bearer atl_...` is understood.")
    return key.strip()


async def _authenticate(request: Request) -> Principal:
    authenticator: Authenticator = request.app.state.authenticator
    return await authenticator.authenticate(request)


async def _authenticate_manager(request: Request) -> Principal:
    authenticator: Authenticator = request.app.state.authenticator
    return await authenticator.authenticate(request, to_change="manage")


async def _limit_address(request: Request) -> None:
    authenticator: Authenticator = request.app.state.authenticator
    authenticator.limit_address(request)


OpenToAll = Depends(_limit_address)
"""For routers and routes that need no credentials: limited by address."""

AccountDep = Annotated[Principal, Depends(_authenticate)]
"""The authenticated customer of a public route."""

ManagerDep = Annotated[Principal, Depends(_authenticate_manager)]
"""The same of a route that sets what keys may do or spend."""
