"""The price book: every price that the source systems state, per version, and what has no price is told."""

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.jobs import ImageInput, ImageQuality, ImageSize, JobInput
from shared.prices import (
    PriceBook,
    UnknownPriceError,
    current_version,
    fingerprint,
    price_article,
    price_book,
    price_books,
    price_job,
    price_script,
    price_storybook,
    price_videos,
    provider_cost,
    tokens_for,
)

FIRST, SECOND = "2026-11-21", "2026-11-22"


class TestVersions:
    def test_old_versions_stay_and_the_newest_in_force_is_current(self):
        assert list(price_books())[:2] == [FIRST, SECOND]
        assert current_version(datetime(2026, 11, 20, tzinfo=UTC)) == FIRST
        assert current_version(datetime(2026, 11, 22, tzinfo=UTC)) == SECOND

    def test_before_the_first_version_nothing_has_a_price(self):
        with pytest.raises(UnknownPriceError):
            current_version(datetime(2020, 1, 1, tzinfo=UTC))

    @pytest.mark.parametrize("version", [FIRST, SECOND])
    @pytest.mark.parametrize(
        ("size", "quality", "cents"),
        [
            ("1024x1024", "standard", 4),
            ("1024x1024", "hd", 8),
            ("1792x1024", "standard", 8),
            ("1024x1792", "standard", 8),
            ("1792x1024", "hd", 12),
            ("1024x1792", "hd", 12),
        ],
    )
    def test_images_cost_what_the_table_says(self, version, size, quality, cents):
        price = price_job(ImageInput(prompt="x", size=size, quality=quality, n=3), version)

        assert price.items == (cents * 1_000,) * 3

    @given(
        prompt=st.text(st.characters(categories=["L"]), min_size=1, max_size=1000),
        fallback=st.sampled_from(["none", "gradient"]),
    )
    def test_neither_the_prompt_nor_the_fallback_changes_the_price(self, prompt, fallback):
        wanted = ImageInput.model_validate({"prompt": prompt, "fallback": fallback})

        assert price_job(wanted, FIRST).total == 4_000

    def test_every_size_and_quality_that_can_be_asked_for_has_a_price_in_every_version(self):
        wanted = set(itertools.product(get_args(ImageSize), get_args(ImageQuality)))

        for book in price_books().values():
            assert {(size, quality) for size, prices in book.image.items() for quality in prices} == wanted

    def test_the_version_in_force_is_the_newest_that_has_begun(self):
        books = sorted(price_books().values(), key=lambda book: book.valid_from)

        assert [current_version(book.valid_from) for book in books] == [book.version for book in books]
        assert current_version(datetime(9999, 1, 1, tzinfo=UTC)) == books[-1].version

    def test_a_version_is_named_by_its_file_and_says_its_unit(self):
        for version, book in price_books().items():
            assert (book.version, book.unit) == (version, "millicredits")

    def test_a_kind_without_a_price_is_named(self):
        with pytest.raises(UnknownPriceError, match="JobInput"):
            price_job(JobInput(), FIRST)

    def test_what_a_version_does_not_name_cannot_be_bought_under_it(self):
        with pytest.raises(UnknownPriceError, match="scripts"):
            price_script(FIRST)
        with pytest.raises(UnknownPriceError, match="1999"):
            price_script("1999-01-01")

    def test_a_book_with_a_negative_price_or_an_estimate_without_a_price_is_refused(self):
        good = price_book(SECOND).model_dump(mode="json")

        for bad in ({"script": {"each": -1}}, {"estimate_by": {"image": "nobody's"}}, {"vidoe": {}}):
            with pytest.raises(ValidationError):
                PriceBook.model_validate({**good, **bad})


class TestText:
    @pytest.mark.parametrize(("tokens", "price"), [(0, 0), (1, 1), (2, 1), (3, 2), (1_999, 1_000), (2_000, 1_000)])
    def test_two_thousand_tokens_are_a_credit_and_fractions_round_up(self, tokens, price):
        assert price_article(tokens, SECOND) == price

    @given(price=st.integers(0, 10**9))
    def test_the_tokens_that_a_hold_pays_never_cost_more(self, price):
        tokens = tokens_for(price, SECOND)

        assert price_article(tokens, SECOND) <= price < price_article(tokens + 1, SECOND)

    def test_a_script_costs_ten_credits(self):
        assert price_script(SECOND) == 10_000


class TestMedia:
    @pytest.mark.parametrize(
        ("seconds", "count", "total"), [(4, 1, 40), (4, 4, 160), (4, 9, 360), (8, 1, 80), (12, 1, 120)]
    )
    def test_videos_cost_what_the_table_says(self, seconds, count, total):
        assert price_videos("standard", "720x1280", seconds, count, SECOND).total == total * 1_000

    @pytest.mark.parametrize(("model", "size", "seconds"), [("standard", "720x1280", 5), ("dear", "720x1280", 4)])
    def test_a_video_outside_the_table_has_no_price(self, model, size, seconds):
        with pytest.raises(UnknownPriceError):
            price_videos(model, size, seconds, 1, SECOND)

    def test_a_storybook_is_a_cover_and_pages(self):
        assert price_storybook(10, SECOND).items == (12_000, *(8_000,) * 10)


class TestProviderCost:
    def test_an_image_is_estimated_by_the_list_price_of_the_default_model(self):
        wanted = ImageInput(prompt="x", quality="hd", n=2)

        assert provider_cost("image", wanted, SECOND) == Decimal("0.2496")

    def test_a_version_without_list_prices_has_no_estimate(self):
        assert provider_cost("image", ImageInput(prompt="x"), FIRST) is None


class TestFingerprint:
    def test_defaults_count_as_said(self):
        assert fingerprint("image", ImageInput(prompt="x")) == fingerprint("image", ImageInput(prompt=" x ", n=1))

    def test_another_request_has_another_one(self):
        assert fingerprint("image", ImageInput(prompt="x")) != fingerprint("image", ImageInput(prompt="x", n=2))
