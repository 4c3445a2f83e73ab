"""``generation.jobs``: what became of jobs. Exactly one of the four terminal events ends a job."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from shared.contract import Event, Topic
from shared.ids import AccountId, AssetId, JobId, StepId
from shared.topics import GENERATION_JOBS


class ArtifactProduced(Event):
    """The bytes of one item lie under their final key in S3. The recipe holds no prompt, only its hash."""

    topic: ClassVar[Topic] = GENERATION_JOBS

    job_id: JobId
    account_id: AccountId
    asset_id: AssetId
    item: int = Field(ge=0)
    step_id: StepId
    object_key: str = Field(description="Object key in the bucket that generation and storage share.")
    size: int = Field(gt=0, description="Bytes.")
    sha256: str
    media_type: str
    width: int
    height: int
    fallback: bool = Field(default=False, description="Made locally because the model was unavailable; free.")
    late: bool = Field(default=False, description="Arrived after the job had ended: kept, never charged.")
    recipe: dict[str, Any] = Field(description="Model, parameters, hashes of the inputs; never personal data.")


class AttemptSummary(BaseModel):
    """One call to a provider, for the timeline."""

    model_config = ConfigDict(frozen=True)

    item: int
    number: int
    model: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str = Field(description="succeeded, retryable, failed, unknown")
    detail: str | None = None
    provider_request_id: str | None = None
    cost_usd: str | None = Field(default=None, description="Provider list price as a decimal string, US dollars.")


class ItemResult(BaseModel):
    """How one item ended: ``outcome`` is delivered, failed or cancelled; ``price`` is captured, in milli-credits."""

    model_config = ConfigDict(frozen=True)

    item: int
    outcome: str
    price: int = Field(ge=0)
    asset_id: AssetId | None = None
    fallback: bool = False
    failure: str | None = None
    detail: str | None = None
    loss: int = Field(default=0, ge=0, description="Milli-credits the platform bears (unknown outcome).")


class Terminal(Event):
    """Fields of every terminal event, and the ``status`` of a job that ended so."""

    topic: ClassVar[Topic] = GENERATION_JOBS
    status: ClassVar[str]

    job_id: JobId
    account_id: AccountId
    items: tuple[ItemResult, ...]
    attempts: tuple[AttemptSummary, ...] = ()
    finished_at: datetime
    deliver: bool = Field(default=False, description="The job asked for a delivery; publishing skips the others.")


class JobSucceeded(Terminal):
    """At least one item was delivered, and no cancel stopped any of them."""

    status: ClassVar[str] = "succeeded"


class JobFailed(Terminal):
    """No item was delivered. ``failure`` is the class of the first failed item."""

    status: ClassVar[str] = "failed"

    failure: str
    detail: str | None = None


class JobCancelled(Terminal):
    """The customer cancelled; items that were already submitted may still have been delivered and are charged."""

    status: ClassVar[str] = "cancelled"


class JobRefused(Terminal):
    """Billing refused the hold; nothing was made."""

    status: ClassVar[str] = "refused"

    failure: str
    detail: str | None = None
    needed: int = 0
    available: int = 0


ENDS = (JobSucceeded, JobFailed, JobCancelled, JobRefused)
