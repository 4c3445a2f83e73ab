"""The price book: the published table, to the milli-credit, in every version that was ever in force."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.jobs import ImageInput, ImageQuality, ImageSize, JobInput
from shared.prices import MILLICREDITS, UnknownPriceError, current_version, price_books, price_job

FIRST = "2026-11-21"
# Credits per picture, as published.
TABLE: dict[tuple[ImageSize, ImageQuality], int] = {
    ("1024x1024", "standard"): 4,
    ("1024x1024", "hd"): 8,
    ("1792x1024", "standard"): 8,
    ("1792x1024", "hd"): 12,
    ("1024x1792", "standard"): 8,
    ("1024x1792", "hd"): 12,
}


class TestImages:
    @pytest.mark.parametrize(("size", "quality"), TABLE)
    @pytest.mark.parametrize("n", [1, 2, 3, 4])
    def test_a_picture_costs_what_the_table_says(self, size: ImageSize, quality: ImageQuality, n: int) -> None:
        price = price_job(ImageInput(prompt="a fox", size=size, quality=quality, n=n), FIRST)

        assert price.items == (TABLE[size, quality] * MILLICREDITS,) * n
        assert price.total == TABLE[size, quality] * MILLICREDITS * n
        assert price.version == FIRST

    @given(
        prompt=st.text(st.characters(categories=["L"]), min_size=1, max_size=1000),
        fallback=st.sampled_from(["none", "gradient"]),
    )
    def test_neither_the_prompt_nor_the_fallback_changes_the_price(self, prompt: str, fallback: str) -> None:
        given_input = ImageInput.model_validate({"prompt": prompt, "fallback": fallback})
        assert price_job(given_input, FIRST).total == 4 * MILLICREDITS

    def test_every_size_and_quality_that_can_be_asked_for_has_a_price_in_every_version(self) -> None:
        for book in price_books().values():
            assert {(size, quality) for size, prices in book.image.items() for quality in prices} == set(TABLE)


class TestVersions:
    def test_a_version_is_named_by_its_file_and_says_its_unit(self) -> None:
        for version, book in price_books().items():
            assert book.version == version
            assert book.unit == "millicredits"

    def test_the_version_in_force_is_the_newest_that_has_begun(self) -> None:
        books = sorted(price_books().values(), key=lambda book: book.valid_from)
        for book in books:
            assert current_version(book.valid_from) == book.version
        assert current_version(datetime(9999, 1, 1, tzinfo=UTC)) == books[-1].version

    def test_before_the_first_version_there_is_no_price(self) -> None:
        with pytest.raises(UnknownPriceError, match="2020-01-01"):
            current_version(datetime(2020, 1, 1, tzinfo=UTC))

    def test_an_unknown_version_is_named(self) -> None:
        with pytest.raises(UnknownPriceError, match="'2019-01-01'"):
            price_job(ImageInput(prompt="a fox"), "2019-01-01")

    def test_a_kind_without_a_price_is_named(self) -> None:
        with pytest.raises(UnknownPriceError, match="JobInput"):
            price_job(JobInput(), FIRST)
