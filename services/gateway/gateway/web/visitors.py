"""Who looks at a page. Browsers take turns at the database's places; somebody without a cookie needs none of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request

from gateway.accounts import Account
from gateway.keys import digest
from gateway.principals import Principal
from gateway.sessions import COOKIE, signed_in
from kit.database import Database, ReadSession


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in, and a session to read what the page shows."""

    account: Account
    principal: Principal
    session: ReadSession


@asynccontextmanager
async def visitor(db: Database, request: Request) -> AsyncIterator[Visitor | None]:
    """Who is signed in with this browser; None when nobody is. Raises TimeoutError when there is no place in time."""
    token = request.cookies.get(COOKIE)
    if token is None:
        yield None
        return
    async with db.place(of=turn_of(token)), db.read() as session:
        browser = await signed_in(session, token=token)
        yield None if browser is None else Visitor(browser.account, browser.principal, session)


def turn_of(token: str) -> str:
    """The name under which who shows a token waits for a place: whose it is shows only once it is looked up."""
    return digest(token).hex()
