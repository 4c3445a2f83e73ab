"""``publishing.posts``: what left Atelier."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from shared.contract import Event, Topic
from shared.ids import AccountId, DeliveryId, JobId
from shared.topics import PUBLISHING_POSTS


class _Delivery(Event):
    topic: ClassVar[Topic] = PUBLISHING_POSTS

    delivery_id: DeliveryId
    account_id: AccountId
    job_id: JobId
    attempts: int = Field(ge=0)
    status_code: int | None = Field(default=None, description="Last HTTP status of the receiver.")
    ended_at: datetime


class DeliverySucceeded(_Delivery):
    """The receiver answered 2xx."""


class DeliveryFailed(_Delivery):
    """Every attempt of the schedule failed, or the address is not allowed."""

    code: str
    detail: str
