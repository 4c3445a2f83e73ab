"""``gateway.accounts``: who uses Atelier."""

from datetime import datetime
from typing import ClassVar

from pydantic import AwareDatetime, Field

from shared.contract import Event, Topic, personal
from shared.ids import AccountId
from shared.topics import GATEWAY_ACCOUNTS


class AccountRegistered(Event):
    """A new account exists. Billing opens its wallet with the registration bonus."""

    topic: ClassVar[Topic] = GATEWAY_ACCOUNTS

    account_id: AccountId
    email: str = Field(json_schema_extra=personal())
    registered_at: datetime


class AccountSignedIn(Event):
    """Someone signed in to an account. Billing gives the daily bonus, at most once in 24 hours."""

    topic: ClassVar[Topic] = GATEWAY_ACCOUNTS

    account_id: AccountId
    signed_in_at: AwareDatetime
