"""Settings of generation: ``GENERATION_*`` environment variables."""

from datetime import timedelta
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from generation.catalogue import catalogue
from kit.settings import RedisSettings, S3Settings

MARGIN = timedelta(seconds=30)
"""What a lease must outlast the provider's timeout by, to write a result that arrives at the last moment."""


class GenerationSettings(RedisSettings, S3Settings):
    """What generation needs to know of its surroundings."""

    model_config = SettingsConfigDict(env_prefix="GENERATION_", frozen=True, extra="ignore")

    identity_public_key: str = Field(description="Base64 raw Ed25519 key that gateway's identity tokens verify with.")
    openai_api_key: SecretStr = Field(description="Key for the images API at OPENAI_BASE_URL.")
    openai_base_url: str = Field(
        default="https://api.openai.com/v1",
        description="Base URL of OpenAI's API, or of whatever speaks its protocol, such as the twin.",
    )
    openai_image_model: str = Field(default="gpt-image-2", description="A model of the catalogue that makes images.")
    provider_timeout: timedelta = Field(default=timedelta(seconds=150), description="Longest wait for one image.")
    step_lease: timedelta = Field(default=timedelta(seconds=240), description="How long a worker may hold one step.")
    concurrency: int = Field(default=128, ge=1, description="Steps that one process works on at a time.")
    attempts: int = Field(default=3, ge=1, le=10, description="Calls that may fail by the provider's fault, per item.")
    retry_delay: timedelta = Field(default=timedelta(seconds=1), description="Before the second call; then doubled.")
    patience: timedelta = Field(
        default=timedelta(seconds=30), description="How long an item with a fallback waits for a paused model."
    )
    headroom: timedelta = Field(
        default=timedelta(seconds=10),  # a picture takes that long at least
        ge=timedelta(0),
        le=timedelta(seconds=20),  # the shortest deadline is 30 s
        description="No call is begun that has less time than this until the deadline.",
    )
    drain_timeout: timedelta = Field(
        default=timedelta(seconds=160), description="Time for running calls at shutdown; a call cut off is a paid loss."
    )

    @model_validator(mode="after")
    def _lease_outlasts_the_call(self) -> Self:
        if self.step_lease < self.provider_timeout + MARGIN:
            raise ValueError(f"step_lease must exceed provider_timeout by {MARGIN.seconds} s or paid results are lost")
        return self

    @model_validator(mode="after")
    def _model_makes_all_sizes(self) -> Self:
        model = catalogue().get(self.openai_image_model)
        able = [name for name, candidate in catalogue().items() if candidate.complete and not candidate.shutdown_date]
        if model is None or not model.complete:
            raise ValueError(
                f"openai_image_model {self.openai_image_model!r} is not in the catalogue with all sizes; "
                f"take one of {', '.join(able)}, or add a row to catalogue.json"
            )
        return self
