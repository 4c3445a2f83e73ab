"""What publishing's routes answer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from publishing.deliveries import AnyRow
from publishing.delivering import REASONS

State = Literal["waiting", "delivering", "succeeded", "failed"]


class Attempt(BaseModel):
    """One request to the receiver."""

    model_config = ConfigDict(from_attributes=True)

    number: int = Field(description="Counts from 1; sent as `webhook-delivery-attempt`.")
    started_at: datetime
    outcome: Literal["succeeded", "failed", "interrupted"] | None = Field(
        description="`interrupted`: the sending process died, so what the receiver got is not known. Null: running."
    )
    duration_ms: int | None
    status_code: int | None = Field(description="HTTP status of the answer, if there was one.", examples=[204])
    error_code: str | None = Field(description="Why it failed.", examples=["timeout"])
    response: str | None = Field(description="The first 500 characters of the answer, without control characters.")


class Delivery(BaseModel):
    """The outcome of one job on its way to the address that the job named."""

    id: str = Field(description="Also the `webhook-id` of every attempt.", examples=["dlv_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"])
    job_id: str = Field(examples=["job_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"])
    url: str | None = Field(description="Null until the job's request is known here.")
    type: str | None = Field(description="What is delivered; null until the job has ended.", examples=["job.succeeded"])
    state: State = Field(description="`waiting` for the job's end, `delivering` until an attempt succeeds or all fail.")
    attempt_count: int = Field(description="Attempts so far.")
    status_code: int | None = Field(description="HTTP status of the last answer.")
    error_code: str | None = Field(description="Why the last attempt failed; null when it succeeded.")
    error: str | None = Field(description="The same in words.")
    next_attempt_at: datetime | None = Field(description="Set while another attempt is due.")
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, row: AnyRow, **more: Any) -> Self:
        """The view of a row."""
        return cls(
            id=row.id,
            job_id=row.job_id,
            url=row.url,
            type=row.type,
            state=row.state,
            attempt_count=row.attempt_count,
            status_code=row.status_code,
            error_code=row.error_code,
            error=REASONS.get(row.error_code),
            next_attempt_at=row.due_at,
            created_at=row.created_at,
            ended_at=row.ended_at,
            **more,
        )


class DeliveryDetail(Delivery):
    """A delivery with what is sent and every attempt."""

    body: str | None = Field(description="The exact text that is signed and sent; null until the job has ended.")
    attempts: list[Attempt]

    @classmethod
    def with_attempts(cls, row: AnyRow, attempts: Sequence[AnyRow]) -> Self:
        """The view of a row and its attempts."""
        return cls.of(row, body=row.body, attempts=[Attempt.model_validate(attempt) for attempt in attempts])


class WebhookSecret(BaseModel):
    """Signs deliveries of jobs that name no secret of their own."""

    secret: str = Field(description="For any Standard Webhooks library.", examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2"])
