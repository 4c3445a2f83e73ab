"""Settings of billing: ``BILLING_*`` environment variables."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from billing.payments.settings import PaymentSettings
from billing.terms import Terms
from shared.prices import MILLICREDITS


class BillingSettings(PaymentSettings):
    """What billing needs beside the settings of every service."""

    model_config = SettingsConfigDict(env_prefix="BILLING_", frozen=True, extra="ignore", env_ignore_empty=True)

    identity_public_key: str = Field(description="Base64 of gateway's raw Ed25519 public key.")
    hold_grace: timedelta = Field(
        default=timedelta(minutes=2),
        gt=timedelta(0),
        description="How long after its deadline an unsettled job is called overdue, and how often it is called again.",
    )
    registration_credits: int = Field(default=50, ge=0, description="Credits that a new account starts with.")
    daily_credits: int = Field(
        default=10, ge=0, description="Credits for signing in, at most once in 24 hours; 0 for none."
    )
    quote_validity: timedelta = Field(
        default=timedelta(minutes=15), gt=timedelta(0), description="How long a quoted price is honoured."
    )

    @property
    def terms(self) -> Terms:
        """The numbers that the rules of billing work with."""
        return Terms(
            registration_bonus=self.registration_credits * MILLICREDITS,
            daily_bonus=self.daily_credits * MILLICREDITS,
            hold_grace=self.hold_grace,
            quote_validity=self.quote_validity,
        )
