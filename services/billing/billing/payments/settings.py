"""Settings of payments: ``BILLING_STRIPE_*``, and what is sold under which price id in this environment."""

from datetime import timedelta
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from billing.payments.offers import Offers, Pack, Plan
from kit.settings import ServiceSettings


class PaymentSettings(ServiceSettings):
    """Without a Stripe key nothing is sold, and everything else of billing works."""

    stripe_api_key: SecretStr | None = Field(default=None, description="Secret key; unset: nothing is sold.")
    stripe_api_url: str = Field(default="https://api.stripe.com", description="Base URL of Stripe's API.")
    stripe_timeout: timedelta = Field(
        default=timedelta(seconds=10),
        gt=timedelta(0),
        description="How long an answer of Stripe may take, the wait for a connection included.",
    )
    stripe_sweep_interval: timedelta = Field(
        default=timedelta(minutes=10), gt=timedelta(0), description="How often Stripe is asked for undelivered events."
    )
    packs: tuple[Pack, ...] = Field(
        default=(), description='JSON: `[{"name": "pack_500", "price_id": "price_..", "credits": 500}]`.'
    )
    plans: tuple[Plan, ...] = Field(
        default=(), description='JSON: `[{"name": "basic", "price_id": "price_..", "credits": 1000}]`, cheapest first.'
    )
    return_url: str = Field(
        default="http://127.0.0.1:8100/", description="Where Stripe's pages lead back to; others must share its origin."
    )

    @property
    def offers(self) -> Offers:
        """Everything that is or was sold."""
        return Offers(self.packs, self.plans)

    @field_validator("return_url")
    @classmethod
    def _absolute(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an absolute http(s) URL")
        return url

    @model_validator(mode="after")
    def _distinct_offers(self) -> Self:
        offers = (*self.packs, *self.plans)
        for what in ("name", "price_id"):
            values = [getattr(offer, what) for offer in offers]
            if len(set(values)) < len(values):
                raise ValueError(f"two packs or plans have the same {what}")
        return self
