"""Signatures of webhooks that come in, each by its sender's published scheme. They are checked over the raw bytes."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

TOLERANCE_SECONDS = 300


class SignatureError(ValueError):
    """The message is not from its sender, was changed, or is too old to be believed."""


def verify_stripe(body: bytes, header: str | None, *, secrets: Sequence[str], now: datetime) -> None:
    """Check ``Stripe-Signature``: ``t=<seconds>,v1=<hex>[,v1=..]``, HMAC-SHA256 over ``<t>.<body>``.

    Several ``secrets`` may be valid at once, while one is rotated. Raises SignatureError.
    """
    fields = [part.partition("=") for part in (header or "").split(",")]
    stamps = [value for name, _, value in fields if name == "t"]
    given = [value for name, _, value in fields if name == "v1"]
    if len(stamps) != 1 or not stamps[0].isdecimal() or not given:
        raise SignatureError("Stripe-Signature is missing or malformed")
    expected = [_stripe(secret, stamps[0], body) for secret in secrets]
    if not any(hmac.compare_digest(one.encode(), other.encode()) for one in expected for other in given):
        raise SignatureError("no signature fits the body")
    if abs(now.timestamp() - int(stamps[0])) > TOLERANCE_SECONDS:
        raise SignatureError("the signature is too old, or a clock is wrong")


def _stripe(secret: str, stamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
