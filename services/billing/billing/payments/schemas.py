"""What the routes of payments take and answer."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class PriceTag(BaseModel):
    """What Stripe charges."""

    model_config = ConfigDict(frozen=True)

    amount: int = Field(description="In the smallest unit of the currency.", examples=[500])
    currency: str = Field(description="ISO 4217, in small letters.", examples=["usd"])
    interval: str | None = Field(description="`month`, `year` ...; null when it is paid once.")
    interval_count: int = Field(default=1, description="Every so many intervals.")


class OfferView(BaseModel):
    """A pack or a plan."""

    name: str = Field(description="What a checkout session calls it.", examples=["pack_500"])
    kind: Literal["pack", "plan"] = Field(description="Bought once, or every period.")
    amount: int = Field(description="Credits it brings; a plan brings them every period.", examples=[500_000])
    unit: Literal["millicredits"] = "millicredits"
    price: PriceTag | None = Field(description="What it costs; null while the payment provider is away.")


class OffersView(BaseModel):
    """Everything that is sold here."""

    data: list[OfferView] = Field(description="Packs, then plans from the lowest to the highest.")


class CheckoutRequest(BaseModel):
    """A wish to buy one pack, or to subscribe to one plan."""

    model_config = ConfigDict(extra="forbid")

    pack: str | None = Field(default=None, description="Name of a pack.", examples=["pack_500"])
    plan: str | None = Field(default=None, description="Name of a plan.", examples=["pro"])
    success_url: str | None = Field(
        default=None,
        max_length=2000,
        description="Where to go when it is paid; `{CHECKOUT_SESSION_ID}` is filled in. Default: the configured page.",
    )
    cancel_url: str | None = Field(default=None, max_length=2000, description="Where to go when the payer gives up.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.pack is None) == (self.plan is None):
            raise ValueError("name either a pack or a plan")
        return self


class CheckoutView(BaseModel):
    """A checkout session and how far it got. Credits arrive when it is `paid`."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(description="Id of the checkout session.", examples=["chk_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"])
    kind: Literal["pack", "plan"] = Field(description="What is bought.")
    offer: str = Field(description="Name of the pack or plan.", examples=["pack_500"])
    amount: int = Field(description="Credits it brings; a plan brings them every period.", examples=[500_000])
    unit: Literal["millicredits"] = "millicredits"
    state: Literal["created", "open", "processing", "paid", "failed", "expired"] = Field(
        description="`processing`: paid by a method that takes days."
    )
    url: str | None = Field(description="The page on which to pay.")
    expires_at: datetime | None = Field(description="Until when it can be paid.")
    created_at: datetime = Field(description="When it was made.")


class PortalRequest(BaseModel):
    """A wish to manage subscription, cards and invoices."""

    model_config = ConfigDict(extra="forbid")

    return_url: str | None = Field(
        default=None, max_length=2000, description="Where to go afterwards. Default: the configured page."
    )


class PortalView(BaseModel):
    """The portal, open for a few minutes."""

    url: str = Field(description="The page to open.")


class SubscriptionView(BaseModel):
    """The plan of an account."""

    model_config = ConfigDict(frozen=True)

    plan: str | None = Field(description="Name of the plan; null without one.", examples=["pro"])
    status: str = Field(description="`none`, `active`, `past_due`, `canceled` ...", examples=["active"])
    is_subscriber: bool = Field(description="Whether the plan gives something now.")
    subscription_expires_at: datetime | None = Field(description="Until when it is paid.")
    cancel_at_period_end: bool = Field(description="Whether it will not renew.")
