"""Judges a Standard Webhooks signature, telling apart the ways in which it may not hold.

The signature itself is computed by the official library.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

from standardwebhooks.webhooks import Webhook


class Verdict(StrEnum):
    VALID = "valid"
    INVALID = "invalid"
    STALE = "stale"  # signed with the right secret, but outside the tolerated time
    UNSIGNED = "unsigned"
    UNCHECKED = "unchecked"  # this inbox has no secret


def judge(
    secret: str | None, headers: Mapping[str, str], body: bytes, *, tolerance_seconds: int | None, now: datetime
) -> Verdict:
    """`headers` has lower-case names. Without a tolerance a signature of any age is good."""
    message_id, timestamp, signatures = (headers.get(f"webhook-{part}") for part in ("id", "timestamp", "signature"))
    if not (message_id and timestamp and signatures):
        return Verdict.UNSIGNED
    if secret is None:
        return Verdict.UNCHECKED
    signed_at = _moment(timestamp)
    if signed_at is None or not _holds(secret, message_id, signed_at, signatures, body):
        return Verdict.INVALID
    if tolerance_seconds is not None and abs((now - signed_at).total_seconds()) > tolerance_seconds:
        return Verdict.STALE
    return Verdict.VALID


def _moment(timestamp: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(timestamp), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _holds(secret: str, message_id: str, signed_at: datetime, signatures: str, body: bytes) -> bool:
    try:
        expected = Webhook(secret).sign(message_id, signed_at, body.decode())
    except UnicodeDecodeError:
        return False  # the standard signs text
    return any(hmac.compare_digest(expected.encode(), given.encode()) for given in signatures.split(" "))
