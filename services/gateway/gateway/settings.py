"""Settings of gateway: the keys it signs and seals with, where the other services are, and its limits."""

from datetime import timedelta
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from kit.settings import RedisSettings


class GatewaySettings(RedisSettings):
    """Environment variables ``GATEWAY_*``."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore", env_ignore_empty=True)

    public_url: str = Field(description="Where people reach this gateway, such as `https://atelier.example`.")
    identity_private_key: SecretStr = Field(description="Base64 of the raw Ed25519 key that signs internal tokens.")
    seal_public_key: str = Field(description="Base64 of the raw X25519 key that only publishing can unseal for.")
    billing_url: str = Field(description="Base URL of billing.")
    generation_url: str = Field(description="Base URL of generation.")
    storage_url: str = Field(description="Base URL of storage.")
    publishing_url: str = Field(description="Base URL of publishing.")
    media_url: str | None = Field(
        default=None, description="Where signed picture URLs point; unset: the page shows pictures from any host."
    )

    rate_limit: int = Field(default=500, ge=1, description="Requests per second of one account.")
    rate_burst: int = Field(default=1_000, ge=1, description="Requests that may come at once after a pause.")
    address_rate_limit: int = Field(
        default=100, ge=1, description="Requests per second of one address without known credentials, and page loads."
    )
    address_rate_burst: int = Field(default=1_000, ge=1, description="As many of them at once after a pause.")
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description="Comma-separated addresses and networks of the proxies in front, whose `X-Forwarded-For` tells the"
        " client's address. Too few, and all clients share one address; too many, and a client can invent its own.",
    )
    max_keys: int = Field(default=100, ge=1, description="API keys that an account may have at a time.")
    max_streams: int = Field(default=100, ge=1, description="Live streams that an account may have open at a time.")
    auth_cache: timedelta = Field(
        default=timedelta(seconds=5), description="How long another process may still accept a revoked key."
    )
    confirmation_timeout: timedelta = Field(
        default=timedelta(milliseconds=200), description="How long billing may take to confirm a 402."
    )
    quote_timeout: timedelta = Field(
        default=timedelta(seconds=2), description="How long billing may take to say what was quoted."
    )
    stripe_webhook_secrets: SecretStr | None = Field(
        default=None,
        description="Signing secrets of the Stripe endpoint `/webhooks/stripe`, comma-separated: the new one and, while"
        " it is rotated, the old one. Unset: its webhooks are answered with 503.",
    )
    ticket_lifetime: timedelta = Field(default=timedelta(hours=24), description="Lifetime of a sign-in link.")
    session_lifetime: timedelta = Field(default=timedelta(days=30), description="Lifetime of a browser session.")

    @property
    def stripe_secrets(self) -> tuple[str, ...]:
        """Every secret that may have signed a webhook of Stripe."""
        if self.stripe_webhook_secrets is None:
            return ()
        secrets = self.stripe_webhook_secrets.get_secret_value().split(",")
        return tuple(secret.strip() for secret in secrets if secret.strip())

    @field_validator("public_url", "billing_url", "generation_url", "storage_url", "publishing_url")
    @classmethod
    def _is_base_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError("must be an http(s) URL")
        return value.rstrip("/")
