"""Signing in to the page: an API key or a one-time ticket from a link becomes a browser session, known by a cookie.

Ticket and cookie are random; the database keeps their SHA-256 only. A session that came from a key may do what the key
may, and ends when the key does.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from fastapi import Response
from sqlalchemy import delete, func, insert, select, update

from gateway.accounts import ACCOUNT, Account, note_sign_in
from gateway.keys import LIVE, SCOPES, digest
from gateway.models import accounts, api_keys, browser_sessions, tickets
from gateway.principals import Principal
from kit.database import ReadSession, WriteSession
from kit.leases import now_plus

COOKIE = "atelier_session"
_BYTES = 32


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whose browser asks, and what it may do."""

    account: Account
    principal: Principal


async def create_ticket(session: WriteSession, *, account_id: str, lifetime: timedelta) -> str:
    """A ticket that signs in to this account once."""
    ticket = secrets.token_urlsafe(_BYTES)
    expires_at = now_plus(lifetime.total_seconds())
    await session.execute(insert(tickets).values(hash=digest(ticket), account_id=account_id, expires_at=expires_at))
    return ticket


async def redeem_ticket(session: WriteSession, *, ticket: str, lifetime: timedelta) -> str | None:
    """Use a ticket: the token of a new browser session, or None when the ticket is used, too old or not ours."""
    redeemed = await session.execute(
        update(tickets)
        .where(tickets.c.hash == digest(ticket), tickets.c.redeemed_at.is_(None), tickets.c.expires_at > func.now())
        .values(redeemed_at=func.now())
        .returning(tickets.c.account_id)
    )
    account_id = redeemed.scalar_one_or_none()
    if account_id is None:
        return None
    return await create_session(session, account_id=account_id, lifetime=lifetime)


async def create_session(
    session: WriteSession,
    *,
    account_id: str,
    lifetime: timedelta,
    api_key_id: str | None = None,
    scopes: Iterable[str] = SCOPES,
) -> str:
    """Sign a browser in, by a key or without one, and note it; the token goes into its cookie."""
    token = secrets.token_urlsafe(_BYTES)
    expires_at = now_plus(lifetime.total_seconds())
    await session.execute(
        insert(browser_sessions).values(
            hash=digest(token),
            account_id=account_id,
            api_key_id=api_key_id,
            scopes=sorted(scopes),
            expires_at=expires_at,
        )
    )
    await note_sign_in(session, account_id=account_id)
    return token


async def signed_in(session: ReadSession | WriteSession, *, token: str) -> SignedIn | None:
    """Whose browser has this token; None when the session has ended, or the key that it came from."""
    query = (
        select(
            *ACCOUNT,
            browser_sessions.c.scopes,
            browser_sessions.c.api_key_id,
            api_keys.c.expires_at,
        )
        .join(browser_sessions, browser_sessions.c.account_id == accounts.c.id)
        .outerjoin(api_keys, api_keys.c.id == browser_sessions.c.api_key_id)
        .where(browser_sessions.c.hash == digest(token), browser_sessions.c.expires_at > func.now(), *LIVE)
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        return None
    *account, scopes, api_key_id, expires_at = row
    owner = Account(*account)
    return SignedIn(owner, Principal(owner.id, session_actor(token), frozenset(scopes), api_key_id, expires_at))


def session_actor(token: str) -> str:
    """The name of a browser session; it does not give the session away."""
    return f"session_{digest(token).hex()[:16]}"


async def end_session(session: WriteSession, *, token: str) -> None:
    """Sign a browser out. Processes that know the session from a moment ago forget it within seconds."""
    await session.execute(delete(browser_sessions).where(browser_sessions.c.hash == digest(token)))


def set_cookie(response: Response, token: str, *, secure: bool, lifetime: timedelta) -> None:
    """Give the browser its session; ``secure`` everywhere but in development."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(lifetime.total_seconds()),
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def clear_cookie(response: Response, *, secure: bool) -> None:
    """Take the session away from the browser."""
    response.delete_cookie(COOKIE, path="/", secure=secure, httponly=True, samesite="strict")
