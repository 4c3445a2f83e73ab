"""The price book: validated data with a version, and one pure function that prices a job.

One credit is one US cent of list price and 1,000 milli-credits; every amount here is an integer in milli-credits, and
a fraction of one is rounded up. Image and video prices are tables, not formulas. Old versions
stay readable, because a job is settled by the version it was accepted under. Articles, scripts, videos and storybooks
have prices, and functions that apply them, before any service makes them: what will be sold is published early.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from shared.jobs import ImageInput, ImageQuality, ImageSize, JobInput

MILLICREDITS = 1_000
"""Milli-credits in one credit."""

VideoSize = Literal["720x1280", "1280x720"]
VideoSeconds = Literal["4", "8", "12"]
Usd = Annotated[Decimal, Field(ge=0)]


S = TypeVar("S")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArticlePrice(_Section):
    """Text is paid by the token."""

    tokens_per_credit: PositiveInt


class ScriptPrice(_Section):
    """A script has one price, whatever its length."""

    each: NonNegativeInt


class StorybookPrice(_Section):
    """A storybook has one cover, and each page is paid by itself."""

    cover: NonNegativeInt
    page: NonNegativeInt


class ProviderPrice(_Section):
    """What a provider asks for its model by its public list, in US dollars; only what it sells has a value."""

    image: Mapping[ImageSize, Mapping[ImageQuality, Usd]] | None = None
    second: Usd | None = None
    megapixel: Usd | None = None


class PriceBook(_Section):
    """One version of all prices. What a version does not name could not be bought under it."""

    version: str
    valid_from: datetime
    unit: Literal["millicredits"]
    image: Mapping[ImageSize, Mapping[ImageQuality, NonNegativeInt]]
    article: ArticlePrice | None = None
    script: ScriptPrice | None = None
    video: Mapping[str, Mapping[VideoSize, Mapping[VideoSeconds, NonNegativeInt]]] | None = Field(
        default=None, description="Model, then size, then length in seconds."
    )
    storybook: StorybookPrice | None = None
    provider_usd: Mapping[str, ProviderPrice] = Field(default={}, description="List price per provider's model.")
    estimate_by: Mapping[str, str] = Field(
        default={}, description="Kind of job -> the model by whose list price its cost is estimated."
    )

    @model_validator(mode="after")
    def _estimates_are_listed(self) -> Self:
        if missing := set(self.estimate_by.values()) - set(self.provider_usd):
            raise ValueError(f"provider_usd has no price for {', '.join(sorted(missing))}")
        return self


class Price(BaseModel):
    """The price of a job: what is held for it, item by item."""

    model_config = ConfigDict(frozen=True)

    version: str
    items: tuple[int, ...]

    @property
    def total(self) -> int:
        """Milli-credits of all items together."""
        return sum(self.items)


class UnknownPriceError(LookupError):
    """No price is known for this version or this input."""


@cache
def price_books() -> Mapping[str, PriceBook]:
    """All versions, oldest first."""
    folder = files("shared") / "price_book"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".json"))
    books = [PriceBook.model_validate_json((folder / name).read_bytes()) for name in names]
    return {book.version: book for book in books}


def current_version(now: datetime) -> str:
    """The version in force at a moment."""
    valid = [book for book in price_books().values() if book.valid_from <= now]
    if not valid:
        raise UnknownPriceError(f"no price book is valid at {now.isoformat()}")
    return max(valid, key=lambda book: book.valid_from).version


def price_book(version: str) -> PriceBook:
    """One version of the book. Raises UnknownPriceError when there is none."""
    book = price_books().get(version)
    if book is None:
        raise UnknownPriceError(f"there is no price version {version!r}")
    return book


def price_job(job_input: JobInput, version: str) -> Price:
    """Price a job under a version of the book. Raises UnknownPriceError when either is not in it."""
    book = price_book(version)
    match job_input:
        case ImageInput(size=size, quality=quality, n=n):
            return Price(version=version, items=(book.image[size][quality],) * n)
        case _:
            raise UnknownPriceError(f"{type(job_input).__name__} has no price in version {version!r}")


def price_article(tokens: int, version: str) -> int:
    """Milli-credits for a text of so many tokens, rounded up. Raises UnknownPriceError."""
    if tokens < 0:
        raise ValueError("a text has no less than 0 tokens")
    rate = _section(price_book(version).article, "articles", version).tokens_per_credit
    return -(-tokens * MILLICREDITS // rate)


def tokens_for(price: int, version: str) -> int:
    """The most tokens that so many milli-credits pay: the cap that is sent to a provider. Raises UnknownPriceError."""
    return price * _section(price_book(version).article, "articles", version).tokens_per_credit // MILLICREDITS


def price_script(version: str) -> int:
    """Milli-credits for a script. Raises UnknownPriceError."""
    return _section(price_book(version).script, "scripts", version).each


def price_videos(model: str, size: VideoSize, seconds: int, count: int, version: str) -> Price:
    """The price of ``count`` videos, item by item. Raises UnknownPriceError when the table has no such row."""
    table = _section(price_book(version).video, "videos", version)
    lengths: Mapping[str, int] = table.get(model, {}).get(size, {})  # type: ignore[assignment]
    if str(seconds) not in lengths:
        raise UnknownPriceError(f"version {version!r} has no price for {seconds} s of {size} by {model!r}")
    return Price(version=version, items=(lengths[str(seconds)],) * count)


def price_storybook(pages: int, version: str) -> Price:
    """The price of a storybook: its cover first, then its pages. Raises UnknownPriceError."""
    book = _section(price_book(version).storybook, "storybooks", version)
    return Price(version=version, items=(book.cover, *(book.page,) * pages))


def provider_cost(kind: str, job_input: JobInput, version: str) -> Decimal | None:
    """What a provider is expected to ask for all items, by list price; None when the book has no estimate."""
    book = price_book(version)
    listed = book.provider_usd.get(book.estimate_by.get(kind, ""))
    match job_input:
        case ImageInput(size=size, quality=quality, n=n) if listed and listed.image:
            return listed.image[size][quality] * n
        case _:
            return None


def fingerprint(kind: str, job_input: JobInput) -> str:
    """SHA-256 over what a job asks for, defaults included: two requests with the same one have the same price."""
    return hashlib.sha256(f"{kind}\n{job_input.model_dump_json()}".encode()).hexdigest()


def _section(section: S | None, name: str, version: str) -> S:
    if section is None:
        raise UnknownPriceError(f"version {version!r} has no price for {name}")
    return section
