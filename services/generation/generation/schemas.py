"""What generation's routes answer."""

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, Field


class ModelPause(BaseModel):
    """Why a model takes no calls for now."""

    until: datetime = Field(description="When calls are made again.")
    failure: str = Field(description="Failure class that led here.", examples=["rate_limited"])


class ModelView(BaseModel):
    """One model of the catalogue, and how it fares."""

    name: str = Field(examples=["gpt-image-2"])
    provider: str = Field(examples=["openai"])
    status: Literal["available", "retiring", "retired"] = Field(description="By the provider's shutdown date.")
    current: bool = Field(description="Whether new jobs are made with this model.")
    sizes: list[str] = Field(description="Sizes in pixels that this model makes.", examples=[["1024x1024"]])
    qualities: list[str] = Field(description="Qualities that can be asked for.", examples=[["standard", "hd"]])
    list_price_usd: dict[str, dict[str, Decimal]] | None = Field(
        description="What the provider charges per picture, by size and quality, in US dollars; null when unknown.",
        examples=[{"1024x1024": {"standard": "0.0317", "hd": "0.1248"}}],
    )
    shutdown_date: date | None = Field(description="First day without this model.")
    successor: str | None = Field(description="The model to use instead.")
    paused: ModelPause | None = Field(description="Null while calls are made.")


class ModelList(BaseModel):
    """The catalogue."""

    data: list[ModelView]
