"""``billing.credits``: every movement of credits. All amounts are integers in milli-credits (1 credit = 1,000)."""

from datetime import datetime
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from shared.contract import Event, Topic
from shared.ids import AccountId, ApiKeyId, AssetId, CampaignId, GrantId, JobId
from shared.topics import BILLING_CREDITS


class LedgerLine(BaseModel):
    """One entry of a ledger transaction, for the timeline: negative leaves the account, positive enters it."""

    model_config = ConfigDict(frozen=True)

    account: str
    amount: int
    grant_id: GrantId | None = None


class GrantShare(BaseModel):
    """What one grant paid."""

    model_config = ConfigDict(frozen=True)

    grant_id: GrantId
    amount: int = Field(gt=0)


class SettledItem(BaseModel):
    """One line of a job's receipt: how an item ended, which refund rule applied, and which grants paid for it."""

    model_config = ConfigDict(frozen=True)

    item: int
    outcome: str
    rule: str = Field(description="Name of the refund rule; the rules are published with the prices.")
    captured: int = Field(ge=0)
    paid_by: tuple[GrantShare, ...] = ()
    asset_id: AssetId | None = None


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
    """The hold was refused; the job ends ``refused``.

    ``code``: insufficient_credits, balance_negative, price_mismatch, unknown_price, unknown_quote, quote_expired,
    quote_mismatch, spend_cap_reached.
    """

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
    expired: int = Field(default=0, ge=0, description="Of the released: not returned, because its grant had expired.")
    loss: int = Field(ge=0, description="Borne by the platform: unknown outcomes and over-runs.")
    available: int
    wallet_held: int
    wallet_version: int = Field(ge=1)
    entries: tuple[LedgerLine, ...] = ()
    items: tuple[SettledItem, ...] = Field(default=(), description="The receipt, item by item.")


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


class CreditsExpired(Event):
    """A grant expired, and what was left of it is gone."""

    topic: ClassVar[Topic] = BILLING_CREDITS

    account_id: AccountId
    grant_id: GrantId
    amount: int = Field(gt=0)
    available: int
    held: int
    wallet_version: int = Field(ge=1)


class CreditsClawedBack(Event):
    """Credits left a wallet without a job: a purchase was refunded or disputed, or an operator corrected a balance."""

    topic: ClassVar[Topic] = BILLING_CREDITS

    account_id: AccountId
    reason: str
    amount: int = Field(ge=0)
    debt: int = Field(ge=0, description="What the account owes now; while it does, new jobs are refused.")
    available: int = Field(description="Below zero while the account owes something.")
    held: int
    wallet_version: int = Field(ge=1)


class SpendAlert(Event):
    """A spend limit is used by half, by 80 % or wholly; each is told once per period. At 100 new jobs are refused."""

    topic: ClassVar[Topic] = BILLING_CREDITS

    account_id: AccountId
    limit_id: str
    api_key_id: ApiKeyId | None = None
    campaign_id: CampaignId | None = None
    measure: str = Field(description="credits (milli-credits), jobs, provider_usd (millionths of a US dollar)")
    period: str = Field(description="day, month")
    period_start: datetime
    threshold: int = Field(description="Percent: 50, 80 or 100.")
    used: int
    cap: int
    state: str = Field(description="active, grace, paused")


class BalanceLow(Event):
    """A hold took the balance below an amount that the account wants to hear of; told once per period."""

    topic: ClassVar[Topic] = BILLING_CREDITS

    account_id: AccountId
    limit_id: str
    threshold: int = Field(description="The amount, in milli-credits.")
    available: int
