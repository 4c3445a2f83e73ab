"""What a customer may ask for, and what is refused with the field at fault."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.jobs import Deliver, ImageInput, WebhookTarget, parse_input


def faults(error: ValidationError) -> set[str]:
    return {str(fault["loc"][0]) for fault in error.errors()}


class TestImage:
    def test_a_prompt_is_enough(self) -> None:
        made = ImageInput(prompt="  a fox  ")
        assert made.model_dump() == {
            "prompt": "a fox",
            "size": "1024x1024",
            "quality": "standard",
            "n": 1,
            "fallback": "none",
        }
        assert (made.items, made.dimensions) == (1, (1024, 1024))

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *(("prompt", value) for value in (None, 5, "", " \n\t ", "x" * 1001, "a\x00b", "\x00")),
            *(("size", value) for value in (None, "", "512x512", "1024X1024", "1024x1024 ", 1024)),
            *(("quality", value) for value in (None, "", "HD", "ultra")),
            *(("n", value) for value in (None, 0, 5, -1, 1.5, "two")),
            *(("fallback", value) for value in (None, "", "Gradient", True)),
            ("seed", 7),
            ("Prompt", "a fox"),
        ],
    )
    def test_anything_else_is_refused_by_its_field(self, field: str, value: Any) -> None:
        with pytest.raises(ValidationError) as caught:
            parse_input("image", {"prompt": "a fox", field: value})
        assert faults(caught.value) == {field}

    def test_a_thousand_characters_are_counted_as_people_do(self) -> None:
        assert ImageInput(prompt="\U0001f98a" * 1000).prompt == "\U0001f98a" * 1000
        assert ImageInput(prompt=" " * 50 + "x" * 1000 + " " * 50).prompt == "x" * 1000

    @pytest.mark.parametrize(("size", "dimensions"), [("1792x1024", (1792, 1024)), ("1024x1792", (1024, 1792))])
    def test_a_size_is_width_by_height(self, size: Any, dimensions: tuple[int, int]) -> None:
        assert ImageInput(prompt="a fox", size=size).dimensions == dimensions

    @given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())))
    def test_no_input_does_worse_than_a_validation_error(self, data: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            parse_input("image", {"nonsense": 1, **data})

    @given(st.text(min_size=1, max_size=1000), st.integers(1, 4))
    def test_what_was_accepted_is_read_back_the_same(self, prompt: str, n: int) -> None:
        try:
            accepted = ImageInput(prompt=prompt, n=n)
        except ValidationError:
            return
        assert parse_input("image", accepted.model_dump(mode="json")) == accepted


class TestKinds:
    @pytest.mark.parametrize("kind", ["", "Image", "video", "__class__"])
    def test_an_unknown_kind_is_a_lookup_error(self, kind: str) -> None:
        with pytest.raises(LookupError):
            parse_input(kind, {"prompt": "a fox"})


class TestDeliver:
    @pytest.mark.parametrize(
        "secret",
        [
            None,
            f"whsec_{'a' * 42}==",
            f"whsec_{'A+/9' * 21}",
            *(f"whsec_{'a' * length}" for length in range(32, 87) if length % 4 != 1),
        ],
    )
    def test_a_webhook_may_bring_its_signing_secret(self, secret: str | None) -> None:
        target = WebhookTarget.model_validate({"url": "https://example.com/hook", "secret": secret})
        assert Deliver(webhook=target).webhook.secret == secret

    @pytest.mark.parametrize(
        "target",
        [
            {},
            {"url": "example.com"},
            {"url": "ftp://example.com"},
            {"url": "https://"},
            {"url": "https://ada@example.com"},
            {"url": "https://ada:secret@example.com/hook"},
            {"url": "https://:secret@example.com"},
            {"url": "https://example.com:0/hook"},
            {"url": "https://example.com", "secret": "whsec_short"},
            {"url": "https://example.com", "secret": f"whsec_{'a' * 87}"},
            *({"url": "https://example.com", "secret": f"whsec_{'a' * length}"} for length in range(33, 87, 4)),
            {"url": "https://example.com", "secret": f"whsec_{'a' * 33}==="},
            {"url": "https://example.com", "secret": "a" * 38},
            {"url": "https://example.com", "method": "PUT"},
        ],
    )
    def test_a_target_that_cannot_be_called_or_signed_is_refused(self, target: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Deliver.model_validate({"webhook": target})

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("https://ada:secret@example.com", "must not contain a user name or password"),
            ("https://example.com:0", "port 0"),
        ],
    )
    def test_what_is_wrong_with_an_address_is_told_without_repeating_it(self, url: str, reason: str) -> None:
        with pytest.raises(ValidationError, match=reason) as caught:
            WebhookTarget.model_validate({"url": url})
        assert "secret" not in caught.value.errors()[0]["msg"]

    @pytest.mark.parametrize("url", ["http://example.com:8080/a@b?c=d@e", "https://[2606:4700::1111]:1/"])
    def test_other_addresses_are_taken(self, url: str) -> None:
        assert str(WebhookTarget.model_validate({"url": url}).url) == url
