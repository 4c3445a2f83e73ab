"""``gateway.jobs``: what customers asked for."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from shared.contract import Event, Topic, personal
from shared.ids import AccountId, ApiKeyId, AssetId, CampaignId, JobId, QuoteId
from shared.topics import GATEWAY_JOBS


class SealedWebhook(BaseModel):
    """A webhook target whose secret only publishing can read (HPKE, base64); without one the account's own is used."""

    model_config = ConfigDict(frozen=True)

    url: str
    sealed_secret: str | None = None


class JobRequested(Event):
    """A customer's request was accepted. Starts the saga: billing holds, generation waits for the hold."""

    topic: ClassVar[Topic] = GATEWAY_JOBS

    job_id: JobId
    account_id: AccountId
    api_key_id: ApiKeyId | None = None
    campaign_id: CampaignId | None = Field(default=None, description="The campaign that the job is part of.")
    kind: str
    input: dict[str, Any] = Field(json_schema_extra=personal())
    items: int = Field(ge=1, description="How many results are asked for.")
    price: int = Field(ge=0, description="Milli-credits to hold for all items together.")
    item_prices: tuple[int, ...] = Field(description="Milli-credits of each item, in order.")
    price_version: str
    quote_id: QuoteId | None = Field(default=None, description="The quote whose price version was used.")
    requested_at: datetime
    deadline: datetime
    deliver: SealedWebhook | None = None
    references: tuple[AssetId, ...] = ()
    retry_of: JobId | None = None


class JobCancelRequested(Event):
    """The customer wants the job to stop. Items already submitted to a provider still run to their end."""

    topic: ClassVar[Topic] = GATEWAY_JOBS

    job_id: JobId
    account_id: AccountId
    requested_at: datetime
