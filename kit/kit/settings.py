"""Settings of a service: environment variables with the service's prefix, checked once at start.

Every service subclasses :class:`ServiceSettings` with its own ``env_prefix``. A value that is missing or wrong is
told with its full variable name; a placeholder secret is refused outside development.
"""

from datetime import timedelta
from typing import Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

PLACEHOLDERS = frozenset({"", "changeme", "change-me", "secret", "password"})


S = TypeVar("S", bound="ServiceSettings")


class ConfigurationError(Exception):
    """The environment does not describe a service that can start; the message lists every fault."""


class ServiceSettings(BaseSettings):
    """What every service needs to know of its surroundings."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    environment: Literal["development", "production"] = Field(
        default="production", description="`development` allows placeholder secrets and loopback targets."
    )
    http_host: str = Field(default="127.0.0.1", description="Address to listen on.")
    http_port: int = Field(ge=1, le=65535, description="Port to listen on.")
    database_url: SecretStr = Field(
        description="`postgresql+asyncpg://user:password@host:port/database`, with `?ssl=verify-full` for TLS."
    )
    database_pool_size: int = Field(
        default=10,
        ge=2,
        description="Pooled connections of one process at rest; under load up to twice as many, of which HTTP requests"
        " get three quarters.",
    )
    kafka_bootstrap: str = Field(description="Comma-separated `host:port` of Kafka brokers.")
    kafka_topic_prefix: str = Field(default="", description="Prepended to every topic and group name.")
    kafka_replication: int = Field(default=1, ge=1, description="Replication factor of topics that `migrate` makes.")
    otlp_endpoint: str | None = Field(default=None, description="OTLP/HTTP base URL for traces; unset: not exported.")
    log_format: Literal["json", "console"] = Field(default="json", description="Shape of log lines on stdout.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="What is less severe is not logged."
    )
    outbox_keep: timedelta = Field(
        default=timedelta(0), description="How long sent events stay for `outbox resend`; 0 deletes them when sent."
    )
    drain_timeout: timedelta = Field(default=timedelta(seconds=10), description="Time for running work at shutdown.")

    @model_validator(mode="after")
    def _no_placeholder_secrets(self) -> Self:
        if self.environment == "development":
            return self
        prefix = self.model_config.get("env_prefix", "")
        weak = [
            f"{prefix}{name}".upper()
            for name, value in self
            if isinstance(value, SecretStr) and _is_placeholder(value.get_secret_value())
        ]
        if weak:
            raise ValueError(f"placeholder secrets are refused outside development: {', '.join(weak)}")
        return self


class RedisSettings(ServiceSettings):
    """Settings of a service that sends signals or listens to them."""

    redis_url: SecretStr = Field(
        description="`redis://:password@host:port/0`; progress and wake-ups only, never facts."
    )


class S3Settings(ServiceSettings):
    """Settings of a service that reads or writes objects."""

    s3_url: str = Field(description="`http(s)://host:port` of an S3-compatible server.")
    s3_access_key: SecretStr = Field(description="Id of the key that requests to S3 are signed with.")
    s3_secret_key: SecretStr = Field(description="The secret of that key.")
    s3_bucket: str = Field(
        default="atelier", min_length=3, description="Where objects lie; one bucket for all services that have any."
    )
    s3_region: str = Field(default="us-east-1", description="Region of the bucket; it is part of every signature.")


def load(cls: type[S]) -> S:
    """Read settings from the environment. Raises ConfigurationError that names each variable at fault."""
    try:
        return cls()
    except ValidationError as error:
        prefix = cls.model_config.get("env_prefix", "")
        faults = [_told(fault, prefix) for fault in error.errors(include_url=False, include_input=False)]
        raise ConfigurationError("\n".join(faults)) from None


def _told(fault: ErrorDetails, prefix: str) -> str:
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:  # a rule over several variables names them itself
        return message
    return f"{prefix}{'_'.join(map(str, fault['loc']))}".upper() + f": {message}"


def _is_placeholder(secret: str) -> bool:
    """Whether nobody has chosen this secret; of a URL that is the password, if it has one."""
    chosen = urlsplit(secret).password if "://" in secret else secret
    return chosen is not None and chosen.lower() in PLACEHOLDERS
