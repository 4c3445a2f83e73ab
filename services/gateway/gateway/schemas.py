"""What gateway's routes take and answer with. Amounts are integers in milli-credits; 1,000 of them are one credit."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from gateway.keys import SCOPES, WORKING_SCOPES, ApiKey, Scope
from shared.ids import CampaignId, QuoteId
from shared.jobs import JOB_INPUTS, Deliver

Status = Literal["queued", "running", "succeeded", "failed", "cancelled", "refused"]
Unit = Literal["millicredits"]

MIN_DEADLINE_SECONDS, MAX_DEADLINE_SECONDS, DEFAULT_DEADLINE_SECONDS = 30, 3_600, 600

_JOB_ID = "job_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"
_ASSET_ID = "ast_01KBHW3XJ0E4RAB1Q6TZZZ9V5D"


class Body(BaseModel):
    """Base of what callers send: unknown fields are refused, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NewJob(Body):
    """A request for a job."""

    kind: Annotated[str, WithJsonSchema({"type": "string", "enum": list(JOB_INPUTS)})] = Field(
        description="What to make.", examples=["image"]
    )
    input: Annotated[
        dict[str, Any], WithJsonSchema({"anyOf": [model.model_json_schema() for model in JOB_INPUTS.values()]})
    ] = Field(description="What to make it from; depends on the kind.", examples=[{"prompt": "a lighthouse at dawn"}])
    quote_id: QuoteId | None = Field(
        default=None,
        description="A quote of `POST /v1/quotes` for this input: the job gets its price.",
        examples=["qte_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"],
    )
    campaign_id: CampaignId | None = Field(
        default=None,
        description="A campaign of yours that the job is part of: an id that you made up once, for all of its jobs. "
        "`/v1/spend-limits` can cap it.",
        examples=["cmp_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"],
    )
    deliver: Deliver | None = Field(default=None, description="Where to send the outcome, besides this API.")
    deadline_seconds: int = Field(
        default=DEFAULT_DEADLINE_SECONDS,
        ge=MIN_DEADLINE_SECONDS,
        le=MAX_DEADLINE_SECONDS,
        description="What is not made by then is given up and not charged.",
    )


class Item(BaseModel):
    """How one item of a job ended."""

    item: int = Field(description="Number of the item, from 0.", examples=[0])
    outcome: str = Field(description="`delivered`, `failed` or `cancelled`; more may come.", examples=["delivered"])
    asset_id: str | None = Field(default=None, description="The picture, if there is one.", examples=[_ASSET_ID])
    fallback: bool = Field(default=False, description="Made locally because the model was unavailable; free.")
    price: int = Field(description="Milli-credits charged for it.", examples=[4_000])
    failure: str | None = Field(default=None, description="Failure class.", examples=["provider_fault"])
    detail: str | None = Field(default=None, description="What happened, in words.")


class Failure(BaseModel):
    """Why a job made nothing."""

    code: str = Field(description="Failure class, or the reason of a refusal.", examples=["insufficient_credits"])
    detail: str | None = Field(default=None, description="What happened, in words.")
    needed: int | None = Field(default=None, description="Milli-credits the job costs, when they were missing.")
    available: int | None = Field(default=None, description="Milli-credits there were, when they were missing.")


class JobCredits(BaseModel):
    """The money of a job."""

    price: int = Field(description="What all items cost together.", examples=[4_000])
    held: int | None = Field(default=None, description="What was set aside; null until then.", examples=[4_000])
    captured: int | None = Field(default=None, description="Charged; null until settled or refused.", examples=[4_000])
    released: int | None = Field(default=None, description="Given back; null until settled or refused.", examples=[0])
    unit: Unit = "millicredits"


class JobDelivery(BaseModel):
    """Where the outcome of a job is sent."""

    url: str | None = Field(description="Your webhook.", examples=["https://example.com/hooks/atelier"])
    state: str = Field(description="`pending`, `succeeded` or `failed`.", examples=["succeeded"])
    delivery_id: str | None = Field(default=None, description="See `/v1/deliveries/{id}`; null until it ended.")


class JobLinks(BaseModel):
    """Where to go on."""

    self: str = Field(examples=[f"/v1/jobs/{_JOB_ID}"])
    events: str = Field(description="Live stream.", examples=[f"/v1/jobs/{_JOB_ID}/events"])
    timeline: str = Field(examples=[f"/v1/jobs/{_JOB_ID}/timeline"])
    cancel: str = Field(examples=[f"/v1/jobs/{_JOB_ID}/cancel"])

    @classmethod
    def of(cls, job_id: str) -> Self:
        """The links of a job."""
        base = f"/v1/jobs/{job_id}"
        return cls(self=base, events=f"{base}/events", timeline=f"{base}/timeline", cancel=f"{base}/cancel")


class JobView(BaseModel):
    """A job as it stands."""

    model_config = ConfigDict(title="Job")

    id: str = Field(examples=[_JOB_ID])
    kind: str = Field(examples=["image"])
    status: Status = Field(description="The last four are final.")
    input: dict[str, Any] = Field(description="What it is made from, with defaults filled in.")
    items: list[Item] = Field(description="How each item ended; empty until the job has.")
    failure: Failure | None = Field(default=None, description="Set when the job failed or was refused.")
    credits: JobCredits
    delivery: JobDelivery | None = Field(default=None, description="Null when no delivery was asked for.")
    created_at: datetime
    deadline: datetime | None = Field(description="When what is not made is given up.")
    cancel_requested_at: datetime | None = Field(default=None, description="When you asked to stop it.")
    finished_at: datetime | None = Field(default=None, description="When it ended.")
    links: JobLinks

    @classmethod
    def of(cls, row: Any) -> Self:
        """The view of a row of ``jobs``."""
        failure = delivery = None
        if row.failure is not None:
            failure = Failure(code=row.failure, detail=row.detail, needed=row.needed, available=row.available)
        if row.delivery is not None:
            delivery = JobDelivery(url=row.webhook_url, state=row.delivery, delivery_id=row.delivery_id)
        return cls(
            id=row.id,
            kind=row.kind,
            status=row.status,
            input=row.input,
            items=[Item.model_validate(item) for item in row.items],
            failure=failure,
            credits=JobCredits(price=row.price, held=row.held, captured=row.captured, released=row.released),
            delivery=delivery,
            created_at=row.created_at,
            deadline=row.deadline,
            cancel_requested_at=row.cancel_requested_at,
            finished_at=row.finished_at,
            links=JobLinks.of(row.id),
        )


class EventView(BaseModel):
    """One event of a job, as the live stream and the timeline tell it."""

    seq: int = Field(description="Position in the job's history, from 1.", examples=[2])
    id: str = Field(description="Id of the event.", examples=["019aa1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"])
    type: str = Field(examples=["atelier.billing.credits-held.v1"])
    service: str = Field(description="Who says so.", examples=["billing"])
    time: datetime = Field(description="When it happened.")
    causation_id: str | None = Field(default=None, description="Id of the event that led here.")
    data: dict[str, Any] = Field(description="What happened; fields depend on the type.")


class Attempt(BaseModel):
    """One call to a provider."""

    number: int = Field(description="Counted from 1 for each item.")
    model: str = Field(examples=["gpt-image-2"])
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str = Field(description="`succeeded`, `retryable`, `failed` or `unknown`.", examples=["succeeded"])
    detail: str | None = None
    provider_request_id: str | None = None
    cost_usd: str | None = Field(default=None, description="List price of the provider.", examples=["0.042"])


class Step(BaseModel):
    """The making of one item."""

    item: int
    step_id: str | None = None
    outcome: str | None = Field(default=None, description="Null until the job has ended.")
    asset_id: str | None = None
    produced_at: datetime | None = None
    stored_at: datetime | None = None
    rejected: str | None = Field(default=None, description="Why storage did not keep it.")
    recipe: dict[str, Any] | None = Field(default=None, description="Model and parameters; hashes of the inputs.")
    fallback: bool = False
    late: bool = Field(default=False, description="Arrived after the job had ended; free.")
    price: int | None = Field(default=None, description="Milli-credits charged; null until the job has ended.")
    failure: str | None = None
    detail: str | None = None
    attempts: list[Attempt] = []


class LedgerEntry(BaseModel):
    """One line of the ledger: negative leaves the account, positive enters it."""

    account: str = Field(examples=["customer.available"])
    amount: int = Field(examples=[-4_000])
    grant_id: str | None = None


class LedgerTransaction(BaseModel):
    """One movement of credits; its lines sum to zero."""

    kind: str = Field(description="`hold` or `settle`.", examples=["hold"])
    time: datetime
    unit: Unit = "millicredits"
    lines: list[LedgerEntry]


class TimelineDelivery(BaseModel):
    """How a delivery ended."""

    delivery_id: str
    state: str = Field(description="`succeeded` or `failed`.")
    attempts: int
    status_code: int | None = Field(default=None, description="Last HTTP status of the receiver.")
    code: str | None = None
    detail: str | None = None
    ended_at: datetime


class Timeline(BaseModel):
    """Everything that happened for a job: the causal chain, the making, the money, the deliveries."""

    job: JobView
    events: list[EventView]
    steps: list[Step]
    ledger: list[LedgerTransaction]
    deliveries: list[TimelineDelivery]


class NewKey(Body):
    """A request for an API key."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")] = Field(
        description="What you know it by.", examples=["production"]
    )
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))] = Field(
        default=list(WORKING_SCOPES),
        description="`read` looks at things, `write` makes and changes them, `manage` makes and revokes keys, changes"
        " spend limits and opens the customer portal. What the caller lacks is left out.",
    )
    expires_in_days: int | None = Field(
        default=None, ge=1, le=3_650, description="At the latest it expires with the key that asks for it."
    )


class Key(BaseModel):
    """An API key without its secret."""

    model_config = ConfigDict(title="ApiKey")

    id: str = Field(examples=["key_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"])
    name: str
    prefix: str = Field(description="How the key begins.", examples=["atl_Ab3dEf9h"])
    last4: str = Field(description="How the key ends.", examples=["x7Qa"])
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    made_by: str | None = Field(default=None, description="The key that asked for it, itself or by its session.")

    @classmethod
    def of(cls, row: ApiKey, **more: Any) -> Self:
        """The view of a row of ``api_keys``."""
        return cls(**asdict(row) | {"prefix": f"atl_{row.prefix}"}, **more)


class CreatedKey(Key):
    """A new API key. This is the only time its secret is shown."""

    key: str = Field(description="The whole key; keep it now.", examples=["atl_Ab3dEf9h_..."])


class Me(BaseModel):
    """Who you are."""

    account_id: str = Field(examples=["acc_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"])
    email: str
    created_at: datetime
    actor: str = Field(description="The API key or browser session that asks.")
    scopes: list[str]


def public_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of an event as customers see it: without what stands beside it anyway."""
    return {name: value for name, value in data.items() if name not in {"job_id", "account_id"}}
