"""Replays of a request with the same ``Idempotency-Key``: stored in the transaction of the effect itself.

The same key with the same input gets the first response again; with another input it is a conflict. Two concurrent
requests meet at the primary key: the second waits for the first to commit.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Header
from pydantic import BaseModel
from sqlalchemy import select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from kit.database import ReadSession, WriteSession
from kit.problems import Problem
from kit.tables import idempotency_keys as table

MAX_KEY_LENGTH = 255
KEY_FORM = r"^[!-~]([ -~]*[!-~])?$"
"""Printable ASCII without spaces around it, as a header carries it unharmed."""

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Sent again with the same key and body, a request has one effect and one answer, for 7 days.",
    ),
]

_CLAIM = text(
    "INSERT INTO idempotency_keys (scope, key, input_hash, response)"
    " SELECT scope, key, hash, CAST(response AS jsonb) FROM unnest(CAST(:scopes AS text[]), CAST(:keys AS text[]),"
    " CAST(:hashes AS bytea[]), CAST(:responses AS text[])) AS n(scope, key, hash, response)"
    " ON CONFLICT DO NOTHING RETURNING scope, key"
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One use of a key: who uses it, for what, and the hash of the input."""

    scope: str
    key: str
    input_hash: bytes


def check_key(key: str | None) -> None:
    """Raise Problem 422 when there is a key that cannot be one."""
    if key is not None and (len(key) > MAX_KEY_LENGTH or not re.fullmatch(KEY_FORM, key)):
        detail = f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters."
        raise Problem(422, "invalid_idempotency_key", detail)


def use_of(
    key: str | None, *, account_id: str, operation: str, body: bytes | BaseModel | Mapping[str, Any]
) -> Fingerprint | None:
    """The use that a request makes of its key, if it has one. Raises Problem 422 when the key cannot be one.

    A field of a model that is None counts as absent, so that keys stay good when a new one comes that may be left out.
    """
    check_key(key)
    if key is None:
        return None
    if isinstance(body, BaseModel):
        body = body.model_dump(mode="json", exclude_none=True)
    canonical = body if isinstance(body, bytes) else json.dumps(body, sort_keys=True, default=str).encode()
    return Fingerprint(f"{account_id}:{operation}", key, hashlib.sha256(canonical).digest())


async def claim(session: WriteSession, use: Fingerprint) -> dict[str, Any] | None:
    """Claim a key: None when this request is the first, else the stored response.

    Raises Problem 409 when the key was used with another input.
    """
    values = {"scope": use.scope, "key": use.key, "input_hash": use.input_hash}
    inserted = await session.execute(insert(table).values(values).on_conflict_do_nothing().returning(table.c.key))
    if inserted.one_or_none() is not None:
        return None
    return await find(session, use)


async def claim_all(
    session: WriteSession, uses: Sequence[tuple[Fingerprint, dict[str, Any]]]
) -> list[dict[str, Any] | Problem | None]:
    """Claim many keys with their responses in one statement, or two when some were used before.

    Per use: None when it is the first, the stored response when it is a replay, Problem 409 when it is a conflict.
    """
    if not uses:
        return []
    known: dict[tuple[str, str], tuple[bytes, dict[str, Any]]] = {}
    for use, response in uses:
        known.setdefault((use.scope, use.key), (use.input_hash, response))
    inserted = {(row.scope, row.key) for row in await session.execute(_CLAIM, _arrays(known))}
    if earlier := known.keys() - inserted:
        query = select(table).where(tuple_(table.c.scope, table.c.key).in_(earlier))
        known |= {(row.scope, row.key): (bytes(row.input_hash), row.response) for row in await session.execute(query)}
    outcomes: list[dict[str, Any] | Problem | None] = []
    for use, _ in uses:
        place = use.scope, use.key
        stored_hash, response = known[place]
        if stored_hash != use.input_hash:
            outcomes.append(conflict())
        elif place in inserted:
            inserted.discard(place)  # the others of this batch are replays of the first
            outcomes.append(None)
        else:
            outcomes.append(response)
    return outcomes


def _arrays(known: Mapping[tuple[str, str], tuple[bytes, dict[str, Any]]]) -> dict[str, list[Any]]:
    """Parameters of the insert, keys ascending, so that two batches cannot wait for each other."""
    places = sorted(known)
    return {
        "scopes": [scope for scope, _ in places],
        "keys": [key for _, key in places],
        "hashes": [known[place][0] for place in places],
        "responses": [json.dumps(known[place][1]) for place in places],
    }


async def find(session: ReadSession | WriteSession, use: Fingerprint) -> dict[str, Any] | None:
    """The stored response of an earlier use, to save work; only :func:`claim` decides. Raises Problem 409."""
    query = select(table.c.input_hash, table.c.response).where(table.c.scope == use.scope, table.c.key == use.key)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        return None
    if bytes(row.input_hash) != use.input_hash:
        raise conflict()
    response: dict[str, Any] = row.response
    return response


def conflict() -> Problem:
    """409: the key was used with another input."""
    return Problem(
        409,
        "idempotency_conflict",
        "This Idempotency-Key was used with another request. Send the same body, or use a new key.",
    )


async def store(session: WriteSession, use: Fingerprint, response: dict[str, Any]) -> None:
    """Keep the response for replays."""
    await session.execute(
        update(table).where(table.c.scope == use.scope, table.c.key == use.key).values(response=response)
    )
