"""API keys: ``atl_<prefix>_<secret>``.

The secret has 256 random bits, so a plain SHA-256 of the key is enough to know it by; the key itself is shown once.
A key that was made by a key may do no more and for no longer than its maker; ending the maker ends it on request.
"""

import hashlib
import re
import secrets
import string
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import ColumnElement, func, insert, select, update

from gateway.errors import api_key_already_made, too_many_keys, unauthenticated
from gateway.models import accounts, api_keys
from gateway.principals import Principal
from kit import idempotency
from kit.database import ReadSession, WriteSession
from kit.idempotency import Fingerprint
from kit.problems import insufficient_scope
from kit.sql import among
from shared.ids import new_id

Scope = Literal["read", "write", "manage"]
SCOPES: tuple[Scope, ...] = ("read", "write", "manage")
"""``read`` looks at things, ``write`` makes and changes them, ``manage`` sets what keys may do and spend."""
WORKING_SCOPES: tuple[Scope, ...] = ("read", "write")
"""Enough for jobs, pictures and payments, and what a key gets that is asked for without naming scopes."""

LIVE = (api_keys.c.revoked_at.is_(None), func.coalesce(api_keys.c.expires_at > func.now(), True))
"""A key has not ended; also true where a statement finds no key at all."""

_ALPHABET = string.ascii_letters + string.digits
_PREFIX_LENGTH = 8
_SECRET_LENGTH = 43  # 62^43 > 2^256
_FORM = re.compile(rf"atl_([A-Za-z0-9]{{{_PREFIX_LENGTH}}})_[A-Za-z0-9]{{{_SECRET_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept."""

    id: str
    account_id: str
    name: str
    prefix: str
    hash: bytes
    last4: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None
    made_by: str | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; ``secret`` is the whole key and is not kept anywhere."""

    row: ApiKey
    secret: str


def digest(token: str) -> bytes:
    """What is kept of a random token."""
    return hashlib.sha256(token.encode()).digest()


def prefix_of(key: str) -> str | None:
    """The part by which a key is found; None when this is no key of ours."""
    match = _FORM.fullmatch(key)
    return match[1] if match else None


async def create_key(
    session: WriteSession,
    *,
    account_id: str,
    name: str,
    scopes: Iterable[Scope] = SCOPES,
    expires_at: datetime | None = None,
    made_by: str | None = None,
) -> NewKey:
    """Make a key of an account."""
    prefix = _random(_PREFIX_LENGTH)
    secret = f"atl_{prefix}_{_random(_SECRET_LENGTH)}"
    row = ApiKey(
        id=new_id("key"),
        account_id=account_id,
        name=name,
        prefix=prefix,
        hash=digest(secret),
        last4=secret[-4:],
        scopes=sorted(set(scopes)),
        created_at=datetime.now(UTC),
        expires_at=expires_at,
        made_by=made_by,
    )
    await session.execute(insert(api_keys).values(asdict(row)))
    return NewKey(row, secret)


async def create_key_for(
    session: WriteSession,
    principal: Principal,
    *,
    name: str,
    scopes: Iterable[Scope],
    expires_at: datetime | None,
    most: int,
    use: Fingerprint | None = None,
) -> NewKey:
    """Make a key for a caller, within the caller's own scopes and lifetime; an account may have ``most``.

    Raises Problem 401, 403 or 429, and 409 when ``use`` of an idempotency key is not its first: a key is shown once.
    """
    if use is not None and (earlier := await idempotency.claim(session, use)) is not None:
        raise api_key_already_made(earlier["id"])
    allowed = [scope for scope in scopes if scope in principal.scopes]
    if not allowed:
        raise insufficient_scope(min(scopes))
    await _lock_maker(session, principal)
    await _count(session, principal.account_id, most=most)
    ends = [end for end in (expires_at, principal.expires_at) if end is not None]
    made = await create_key(
        session,
        account_id=principal.account_id,
        name=name,
        scopes=allowed,
        expires_at=min(ends, default=None),
        made_by=principal.api_key_id,
    )
    if use is not None:
        await idempotency.store(session, use, {"id": made.row.id})
    return made


async def _lock_maker(session: WriteSession, principal: Principal) -> None:
    """Nothing is made by a key that has ended, though it may be remembered; nor missed by one who ends what it made."""
    if principal.api_key_id is None:
        return
    query = select(api_keys.c.id).where(api_keys.c.id == principal.api_key_id, *LIVE).with_for_update(read=True)
    if (await session.execute(query)).one_or_none() is None:
        raise unauthenticated("This API key has ended.")


async def _count(session: WriteSession, account_id: str, *, most: int) -> None:
    await session.execute(select(accounts.c.id).where(accounts.c.id == account_id).with_for_update(key_share=True))
    query = select(func.count()).select_from(api_keys).where(api_keys.c.account_id == account_id, *LIVE)
    if (await session.execute(query)).scalar_one() >= most:
        raise too_many_keys(most)


async def list_keys(
    session: ReadSession, *, account_id: str, before: str | None = None, limit: int | None = None
) -> list[ApiKey]:
    """The keys of an account, newest first; those that were revoked too."""
    query = select(api_keys).where(api_keys.c.account_id == account_id).order_by(api_keys.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(api_keys.c.id < before)
    return [ApiKey(*row) for row in await session.execute(query)]


async def revoke_key(
    session: WriteSession, *, key_id: str, account_id: str | None = None, descendants: bool = False
) -> list[str]:
    """End a key (of this account); with ``descendants`` also all that were made by it, directly or through others.

    Returns the ids of these keys, none when there is no such key. Ending a key again changes nothing.
    """
    of_account = () if account_id is None else (api_keys.c.account_id == account_id,)
    ended: list[str] = []
    generation = await _end(session, api_keys.c.id == key_id, *of_account)
    while generation:
        ended += generation
        # a key that was being made at the same time is seen now: its maker stood locked until it was there
        generation = await _end(session, among(api_keys.c.made_by, generation)) if descendants else []
    return ended


async def _end(session: WriteSession, *which: ColumnElement[bool]) -> list[str]:
    result = await session.execute(
        update(api_keys)
        .where(*which)
        .values(revoked_at=func.coalesce(api_keys.c.revoked_at, func.now()))
        .returning(api_keys.c.id)
    )
    return list(result.scalars())


async def find_key(session: ReadSession, *, prefix: str) -> ApiKey | None:
    """The key with this prefix, unless it has ended."""
    row = (await session.execute(select(api_keys).where(api_keys.c.prefix == prefix, *LIVE))).one_or_none()
    return None if row is None else ApiKey(*row)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
