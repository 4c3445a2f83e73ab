"""The price book: validated data with a version, and one pure function that prices a job.

One credit is one US cent of list price and 1,000 milli-credits; every amount here is an integer in milli-credits.
Image prices are a table, not a formula (S3-16..18, G-10). Old versions stay readable, because a job is settled by the
version it was accepted under.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from shared.jobs import ImageInput, ImageQuality, ImageSize, JobInput

MILLICREDITS = 1_000
"""Milli-credits in one credit."""


class PriceBook(BaseModel):
    """One version of all prices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    valid_from: datetime
    unit: Literal["millicredits"]
    image: Mapping[ImageSize, Mapping[ImageQuality, NonNegativeInt]]


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


def price_job(job_input: JobInput, version: str) -> Price:
    """Price a job under a version of the book. Raises UnknownPriceError when either is not in it."""
    book = price_books().get(version)
    if book is None:
        raise UnknownPriceError(f"there is no price version {version!r}")
    match job_input:
        case ImageInput(size=size, quality=quality, n=n):
            return Price(version=version, items=(book.image[size][quality],) * n)
        case _:
            raise UnknownPriceError(f"{type(job_input).__name__} has no price in version {version!r}")
