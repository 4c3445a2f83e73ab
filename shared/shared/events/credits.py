"""``billing.credits``: every movement of credits. All amounts are integers in milli-credits (1 credit = 1,000)."""

from datetime import datetime
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from shared.contract import Event, Topic
from shared.ids import AccountId, GrantId, JobId
from shared.topics import BILLING_CREDITS


class LedgerLine(BaseModel):
    """One entry of a ledger transaction, for the timeline: negative leaves the account, positive enters it."""

    model_config = ConfigDict(frozen=True)

    account: str
    amount: int
    grant_id: GrantId | None = None


class CreditsHeld(Event):
    """Credits are set aside for a job; work may start."""

    topic: ClassVar[Topic] = BILLING_CREDITS

    account_id: AccountId
    job_id: JobId
    amount: int = Field(ge=0)
    available: int = Field(description="Left in the wallet after the hold.")
    held: int = Field(description="Held in the wallet, this hold included.")
    wallet_version: int = Field(ge=1, description="Counts every change of this wallet; a projection keeps the highest.")


class CreditsRefused(Event):
    """The hold was refused; the job ends ``refused``. ``code``: insufficient_credits, price_mismatch, unknown_price."""

    topic: ClassVar[Topic] = BILLING_CREDITS

    account_id: AccountId
    job_id: JobId
    code: str
    detail: str
    needed: int = Field(ge=0)
    available: int


class HoldOverdue(Event):
    """A hold outlived its job's deadline and grace; generation answers with a terminal event, known job or not."""

    topic: ClassVar[Topic] = BILLING_CREDITS

    account_id: AccountId
    job_id: JobId
    amount: int = Field(ge=0)
    deadline: datetime


class CreditsSettled(Event):
    """The one settlement of a job: what was delivered is captured, the rest is released."""

    topic: ClassVar[Topic] = BILLING_CREDITS

    account_id: AccountId
    job_id: JobId
    held: int = Field(ge=0, description="What had been held for the job.")
    captured: int = Field(ge=0)
    released: int = Field(ge=0)
    loss: int = Field(ge=0, description="Borne by the platform: unknown outcomes and over-runs.")
    available: int
    wallet_held: int
    wallet_version: int = Field(ge=1)
    entries: tuple[LedgerLine, ...] = ()


class CreditsGranted(Event):
    """Credits entered a wallet. ``source``: bonus, plan, purchase, refund, adjustment."""

    topic: ClassVar[Topic] = BILLING_CREDITS

    account_id: AccountId
    grant_id: GrantId
    source: str
    reason: str
    amount: int = Field(gt=0)
    available: int
    held: int
    wallet_version: int = Field(ge=1)
    expires_at: datetime | None = None
