"""``billing.credits``, continued: who has a plan."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from shared.contract import Event, Topic
from shared.ids import AccountId
from shared.topics import BILLING_CREDITS


class SubscriptionChanged(Event):
    """The plan of an account, its state or its end has changed; the latest tells all."""

    topic: ClassVar[Topic] = BILLING_CREDITS

    account_id: AccountId
    plan: str | None = Field(description="Name of the plan; null without one.")
    status: str = Field(description="none, active, trialing, past_due, canceled and the other states of Stripe.")
    is_subscriber: bool
    subscription_expires_at: datetime | None = Field(description="Until when it is paid.")
    cancel_at_period_end: bool = False
