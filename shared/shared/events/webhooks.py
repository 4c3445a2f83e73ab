"""``gateway.webhooks``: what outside systems told. The raw message stays with gateway; the event only points at it."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from shared.contract import Event, Topic
from shared.topics import GATEWAY_WEBHOOKS


class WebhookReceived(Event):
    """A message of an outside system is stored, its signature holds, and it was not seen before.

    It is a hint that something changed: whoever owns the sender fetches the object itself, so that neither order nor
    duplicates nor the content of the message matter.
    """

    topic: ClassVar[Topic] = GATEWAY_WEBHOOKS

    subject: str = Field(description="Sender and object, such as `stripe:cs_123`.")
    sender: str = Field(description="`stripe` and, as they come, others.")
    external_id: str = Field(description="The sender's id of the message, such as `evt_123`.")
    kind: str = Field(description="The sender's name of what happened, such as `invoice.paid`.")
    object_id: str = Field(description="The sender's id of what it happened to.")
    received_at: datetime
