"""Inboxes and their messages. What was answered to a sender is on file, so it survives a `kill -9`.

An inbox exists from the first message or configuration on and keeps the latest messages.
"""

import base64
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, field_validator
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from twins.changes import OVERVIEW, Changes
from twins.hooks.signature import Verdict, judge
from twins.journal import Journal

KEPT_MESSAGES = 500


class Respond(BaseModel):
    """How the inbox answers: the first `fail_first` messages with `fail_status`, all others with `status`."""

    model_config = ConfigDict(extra="forbid")

    status: int = Field(default=204, ge=200, le=599)
    fail_first: int = Field(default=0, ge=0)
    fail_status: int = Field(default=503, ge=400, le=599)
    delay_ms: int = Field(default=0, ge=0, le=120_000)


class InboxConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    secret: str | None = Field(default=None, pattern="^whsec_.")
    tolerance_seconds: int | None = Field(default=300, ge=0)
    respond: Respond = Respond()

    @field_validator("secret")
    @classmethod
    def _usable(cls, secret: str | None) -> str | None:
        if secret is None:
            return None
        try:
            Webhook(secret)
        except (ValueError, EmptyWebhookSecretError) as error:
            raise ValueError("a Standard Webhooks secret is `whsec_` followed by base64") from error
        return secret


@dataclass(frozen=True)
class Message:
    id: str
    received_at: str
    headers: dict[str, str]
    body: str
    # Bodies that are not text are kept as base64.
    encoding: str
    verdict: Verdict
    answered: int


@dataclass
class Inbox:
    name: str
    config: InboxConfig = field(default_factory=InboxConfig)
    messages: deque[Message] = field(default_factory=lambda: deque(maxlen=KEPT_MESSAGES))
    received: int = 0
    received_since_config: int = 0

    def next_status(self) -> int:
        respond = self.config.respond
        return respond.fail_status if self.received_since_config < respond.fail_first else respond.status

    def keep(self, message: Message) -> None:
        self.messages.append(message)
        self.received += 1
        self.received_since_config += 1

    def configure(self, config: InboxConfig) -> None:
        self.config = config
        self.received_since_config = 0

    def as_json(self) -> dict[str, Any]:
        return {"inbox": self.name, "received": self.received, "messages": [asdict(m) for m in reversed(self.messages)]}


class Inboxes:
    def __init__(self, journal: Journal, changes: Changes) -> None:
        self._journal = journal
        self._changes = changes
        self._inboxes: dict[str, Inbox] = {}
        for record in journal.replay():
            self._restore(record)

    def all(self) -> list[Inbox]:
        return list(self._inboxes.values())

    def get(self, name: str) -> Inbox:
        """The inbox of this name; one that nothing has reached yet is empty."""
        return self._inboxes.get(name) or Inbox(name)

    def configure(self, name: str, config: InboxConfig) -> None:
        self._journal.append({"inbox": name, "config": config.model_dump()})
        self._own(name).configure(config)
        self._announce(name)

    def receive(self, name: str, headers: dict[str, str], body: bytes) -> Message:
        inbox = self._own(name)
        now = datetime.now(UTC)
        text, encoding = _as_text(body)
        config = inbox.config
        message = Message(
            id=f"in_{uuid4().hex}",
            received_at=now.isoformat(timespec="milliseconds"),
            headers=headers,
            body=text,
            encoding=encoding,
            verdict=judge(config.secret, headers, body, tolerance_seconds=config.tolerance_seconds, now=now),
            answered=inbox.next_status(),
        )
        self._journal.append({"inbox": name, "message": asdict(message)})
        inbox.keep(message)
        self._announce(name)
        return message

    def delete(self, name: str) -> None:
        self._journal.append({"inbox": name, "deleted": True})
        self._inboxes.pop(name, None)
        self._announce(name)

    def close(self) -> None:
        self._journal.close()

    def _own(self, name: str) -> Inbox:
        return self._inboxes.setdefault(name, Inbox(name))

    def _announce(self, name: str) -> None:
        self._changes.announce(f"hooks/{name}")
        self._changes.announce(OVERVIEW)

    def _restore(self, record: dict[str, Any]) -> None:
        name = record["inbox"]
        if "config" in record:
            self._own(name).configure(InboxConfig.model_validate(record["config"]))
        elif "message" in record:
            stored = record["message"]
            self._own(name).keep(Message(**{**stored, "verdict": Verdict(stored["verdict"])}))
        else:
            self._inboxes.pop(name, None)


def _as_text(body: bytes) -> tuple[str, str]:
    try:
        return body.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"
