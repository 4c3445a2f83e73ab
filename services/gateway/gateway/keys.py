"""API keys: ``atl_<prefix>_<secret>``.

The secret has 256 random bits, so a plain SHA-256 of the key is enough to know it by; the key itself is shown once.
"""

import hashlib
import re
import secrets
import string
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import func, insert, select, update

from gateway.models import api_keys
from kit.database import ReadSession, WriteSession
from shared.ids import new_id

Scope = Literal["read", "write"]
SCOPES: tuple[Scope, ...] = ("read", "write")
"""``read`` looks at things, ``write`` makes and changes them."""

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
    )
    await session.execute(insert(api_keys).values(asdict(row)))
    return NewKey(row, secret)


async def list_keys(session: ReadSession, *, account_id: str, before: str | None, limit: int) -> list[ApiKey]:
    """The keys of an account, newest first; those that were revoked too."""
    query = select(api_keys).where(api_keys.c.account_id == account_id).order_by(api_keys.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(api_keys.c.id < before)
    return [ApiKey(*row) for row in await session.execute(query)]


async def revoke_key(session: WriteSession, *, account_id: str, key_id: str) -> bool:
    """End a key; False when the account has no such key. Ending it again changes nothing."""
    result = await session.execute(
        update(api_keys)
        .where(api_keys.c.id == key_id, api_keys.c.account_id == account_id)
        .values(revoked_at=func.coalesce(api_keys.c.revoked_at, func.now()))
        .returning(api_keys.c.id)
    )
    return result.one_or_none() is not None


async def find_key(session: ReadSession, *, prefix: str) -> ApiKey | None:
    """The key with this prefix, unless it has ended."""
    query = select(api_keys).where(
        api_keys.c.prefix == prefix,
        api_keys.c.revoked_at.is_(None),
        func.coalesce(api_keys.c.expires_at > func.now(), True),
    )
    row = (await session.execute(query)).one_or_none()
    return None if row is None else ApiKey(*row)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
