"""Settings of publishing: environment variables that begin with ``PUBLISHING_``."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from kit.settings import ServiceSettings

MIN_ATTEMPTS = 3
MIN_SECRET_LENGTH = 24

Seconds = Annotated[int, Field(ge=0, le=7 * 24 * 3600)]


class PublishingSettings(ServiceSettings):
    """What publishing needs to know beyond what every service does."""

    model_config = SettingsConfigDict(env_prefix="PUBLISHING_", frozen=True, extra="ignore")

    identity_public_key: str = Field(description="Base64 of gateway's raw Ed25519 public key.")
    seal_private_key: SecretStr = Field(description="Base64 raw X25519 key that opens sealed webhook secrets.")
    signing_master_secret: SecretStr = Field(
        description="Accounts' own signing secrets derive from it; changing it changes all of them."
    )
    allow_loopback: bool = Field(default=False, description="Deliver to this machine too; development only.")
    retry_schedule: tuple[Seconds, ...] = Field(
        default=(0, 5, 300, 1800, 7200, 18000, 36000, 36000),
        min_length=MIN_ATTEMPTS,
        description="JSON list: seconds to wait before each attempt; its length is the number of attempts.",
    )
    retry_jitter: float = Field(default=0.2, ge=0, le=1, description="Share by which a wait varies either way.")
    retry_after_limit: timedelta = Field(
        default=timedelta(hours=1), description="A receiver's Retry-After counts up to this."
    )
    request_timeout: timedelta = Field(
        default=timedelta(seconds=15), gt=timedelta(0), le=timedelta(seconds=45), description="Time for one attempt."
    )
    delivery_concurrency: int = Field(default=32, ge=1, description="Deliveries that one process makes at a time.")

    retention: timedelta = Field(
        default=timedelta(days=90), ge=timedelta(days=1), description="How long ended deliveries are kept."
    )

    @field_validator("retry_schedule")
    @classmethod
    def _starts_at_once(cls, waits: tuple[int, ...]) -> tuple[int, ...]:
        if waits[0] != 0:
            raise ValueError("the first attempt is made at once, so the schedule starts with 0")
        return waits

    @model_validator(mode="after")
    def _safe_in_production(self) -> Self:
        if self.environment == "development":
            return self
        if self.allow_loopback:
            raise ValueError("ALLOW_LOOPBACK is refused outside development")
        if len(self.signing_master_secret.get_secret_value()) < MIN_SECRET_LENGTH:
            raise ValueError(f"SIGNING_MASTER_SECRET must have at least {MIN_SECRET_LENGTH} characters")
        return self
