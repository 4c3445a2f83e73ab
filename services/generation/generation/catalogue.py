"""The model catalogue: validated data on what each model accepts and costs.

No model of it can be asked about a call that gave no answer, so such a call is never repeated. Retired models stay
listed with their successor, so that old jobs can be read and a late setting is understood.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter

from shared.jobs import ImageQuality, ImageSize

MILLION = 1_000_000

ProviderQuality = Literal["low", "medium", "high", "xhigh", "max", "standard", "hd"]


class TokenPrice(BaseModel):
    """List price in US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text_input: Decimal
    image_output: Decimal


class Model(BaseModel):
    """One model of one provider. ``sizes`` and ``qualities`` map our words to the provider's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    provider: Literal["openai"]
    sizes: Mapping[ImageSize, str]
    qualities: Mapping[ImageQuality, ProviderQuality]
    list_price_usd: Mapping[ImageSize, Mapping[ImageQuality, Decimal]] | None = None
    token_price_usd: TokenPrice | None = None
    shutdown_date: date | None = None
    successor: str | None = None

    @property
    def complete(self) -> bool:
        """Whether every picture a customer may ask for can be made."""
        return set(self.sizes) == set(get_args(ImageSize)) and set(self.qualities) == set(get_args(ImageQuality))

    def status(self, today: date) -> Literal["available", "retiring", "retired"]:
        """Whether the provider still serves this model."""
        if self.shutdown_date is None:
            return "available"
        return "retiring" if today < self.shutdown_date else "retired"

    def cost(self, size: ImageSize, quality: ImageQuality, usage: Mapping[str, int] | None) -> Decimal | None:
        """What the provider charges for one picture: by tokens when it told them, else its list price."""
        if usage and self.token_price_usd:
            text = usage.get("input_tokens", 0) * self.token_price_usd.text_input
            return (text + usage.get("output_tokens", 0) * self.token_price_usd.image_output) / MILLION
        return self.list_price_usd[size][quality] if self.list_price_usd else None


@cache
def catalogue() -> Mapping[str, Model]:
    """All models by name."""
    models = TypeAdapter(list[Model]).validate_json((files("generation") / "catalogue.json").read_bytes())
    return {model.name: model for model in models}
