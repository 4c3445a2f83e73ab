"""Sortable, prefixed ids: ``job_`` + 26 Crockford base-32 characters of a UUIDv7.

Ids sort by creation time (RFC 9562, section 5.7) and never need escaping in a URL or a file name.
"""

import base64
import hashlib
import os
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Annotated

from pydantic import StringConstraints

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 26
_BODY = re.compile(f"[0-7][{CROCKFORD}]{{{_LENGTH - 1}}}")
_TO_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", CROCKFORD.encode())


def uuid7() -> uuid.UUID:
    """A UUIDv7 of now: 48 bits of milliseconds, then 74 random bits."""
    return _uuid7(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big"))


def _uuid7(milliseconds: int, random: int) -> uuid.UUID:
    value = milliseconds << 80 | 0x7 << 76 | (random >> 68) << 64 | 0b10 << 62 | random & ((1 << 62) - 1)
    return uuid.UUID(int=value)


def derived(identifier: str, name: str) -> uuid.UUID:
    """The UUIDv7 that always follows from an id and a name: of the id's moment, with bits of a hash for random ones."""
    own = decode(identifier)
    digest = int.from_bytes(hashlib.sha256(f"{identifier} {name}".encode()).digest()[:10], "big")
    return _uuid7(own.int >> 80, digest)


def encode(value: uuid.UUID) -> str:
    """The 26 Crockford characters of a UUID."""
    padded = value.int.to_bytes(20, "big")  # 32 characters of 5 bits; the first six are only padding
    return base64.b32encode(padded)[-_LENGTH:].translate(_TO_CROCKFORD).decode()


def decode(identifier: str) -> uuid.UUID:
    """The UUID inside a prefixed id. Raises ValueError when it holds none."""
    prefix, _, body = identifier.rpartition("_")
    if not prefix or not _BODY.fullmatch(body):
        raise ValueError(f"{identifier!r} is not an id of Atelier")
    number = 0
    for character in body:
        number = number << 5 | CROCKFORD.index(character)
    return uuid.UUID(int=number)


def new_id(prefix: str) -> str:
    """A new id, for example ``new_id("job")`` -> ``job_01KBHW3XJ0E4RAB1Q6TZZZ9V5C``."""
    return f"{prefix}_{encode(uuid7())}"


def earliest(prefix: str, moment: datetime) -> str:
    """What no id that was made at a moment or later sorts before."""
    return f"{prefix}_{encode(uuid.UUID(int=int(moment.timestamp() * 1000) << 80))}"


def created_at(identifier: str) -> datetime:
    """The moment an id was made, to the millisecond, in UTC."""
    return datetime.fromtimestamp((decode(identifier).int >> 80) / 1000, tz=UTC)


def _id(prefix: str) -> StringConstraints:
    return StringConstraints(pattern=rf"^{prefix}_[0-7][{CROCKFORD}]{{25}}$")


AccountId = Annotated[str, _id("acc")]
ApiKeyId = Annotated[str, _id("key")]
AssetId = Annotated[str, _id("ast")]
CampaignId = Annotated[str, _id("cmp")]
DeliveryId = Annotated[str, _id("dlv")]
GrantId = Annotated[str, _id("grt")]
JobId = Annotated[str, _id("job")]
QuoteId = Annotated[str, _id("qte")]
StepId = Annotated[str, _id("stp")]
