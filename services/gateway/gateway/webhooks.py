"""Webhooks that come in: verified over their raw bytes, kept as they came, and told once per message.

The raw message stays here. Others get ``WebhookReceived``, which only points at the sender's object: neither the order
of messages nor what they say has to be trusted, so a message that came before is dropped and nothing else is decided.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.dialects.postgresql import insert

from gateway.errors import invalid_signature, invalid_webhook
from gateway.models import webhooks
from kit import outbox
from kit.database import WriteSession
from kit.webhook_signatures import SignatureError, verify_stripe
from shared.events import WebhookReceived
from shared.ids import new_id

log = structlog.get_logger()

STRIPE = "stripe"
CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
MAX_NAME_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Message:
    """What a sender told. ``object_id`` is None when it is of nothing that can be fetched."""

    external_id: str
    kind: str
    object_id: str | None


def read_stripe(body: bytes, signature: str | None, *, secrets: Sequence[str]) -> Message:
    """The event in a message of Stripe. Raises Problem 400 when it is not Stripe's, too old, or no event."""
    try:
        verify_stripe(body, signature, secrets=secrets, now=datetime.now(UTC))
    except SignatureError as error:
        log.warning("webhook.refused", sender=STRIPE, reason=str(error))
        raise invalid_signature(str(error)) from error
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid_webhook() from error
    external_id, kind = _name(event, "id"), _name(event, "type")
    if external_id is None or kind is None:
        raise invalid_webhook()
    return Message(external_id, kind, _name(_member(_member(event, "data"), "object"), "id"))


async def receive(
    session: WriteSession, message: Message, *, sender: str, headers: Iterable[tuple[str, str]], body: bytes
) -> bool:
    """Keep a verified message and tell it; False when it came before, and nothing is done."""
    received_at = datetime.now(UTC)
    row = {
        "id": new_id("whk"),
        "sender": sender,
        "external_id": message.external_id,
        "kind": message.kind,
        "object_id": message.object_id,
        "headers": [[name, value] for name, value in headers if name not in CREDENTIALS],
        "body": body,
        "received_at": received_at,
    }
    kept = await session.execute(
        insert(webhooks)
        .values(row)
        .on_conflict_do_nothing(index_elements=["sender", "external_id"])
        .returning(webhooks.c.id)
    )
    if kept.one_or_none() is None:
        log.info("webhook.repeated", sender=sender, external_id=message.external_id)
        return False
    if message.object_id is not None:
        outbox.add(
            session,
            WebhookReceived(
                subject=f"{sender}:{message.object_id}",
                sender=sender,
                external_id=message.external_id,
                kind=message.kind,
                object_id=message.object_id,
                received_at=received_at,
            ),
        )
    log.info("webhook.received", sender=sender, external_id=message.external_id, kind=message.kind)
    return True


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _name(value: Any, name: str) -> str | None:
    """A text that can stand in an id or a name of a kind; None when there is none."""
    found = _member(value, name)
    if isinstance(found, str) and 0 < len(found) <= MAX_NAME_LENGTH and found.isascii() and found.isprintable():
        return found
    return None
