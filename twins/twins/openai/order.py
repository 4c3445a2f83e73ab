"""Reads the body of an image request as strictly as the provider does: what it would refuse is refused here.

The one extension is `seed`, which the provider lacks: it asks the twin for another picture of the same prompt.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal, cast

from twins.art.spec import PictureFormat, PictureSpec
from twins.faults import without_directives
from twins.openai import errors, models

PROMPT_LIMIT = 32_000
MAX_IMAGES = 10
FORMATS = ("png", "jpeg", "webp")
BACKGROUNDS = ("transparent", "opaque", "auto")
MODERATIONS = ("low", "auto")
# Accepted without effect on the picture; the provider accepts them too.
_NEUTRAL = {"user", "safety_identifier", "complexity"}
_KNOWN = {
    "prompt", "model", "n", "size", "quality", "background", "output_format", "output_compression", "moderation",
    "stream", "seed",
}  # fmt: skip


@dataclass(frozen=True)
class ImageOrder:
    prompt: str
    model: models.ImageModel
    count: int
    width: int
    height: int
    quality: str
    background: Literal["transparent", "opaque"]
    format: PictureFormat
    compression: int
    seed: str

    def specs(self, idempotency_key: str | None) -> list[PictureSpec]:
        """One picture per item. Calls with different idempotency keys are different orders and look different."""
        return [
            PictureSpec(
                prompt=without_directives(self.prompt),
                width=self.width,
                height=self.height,
                variation=f"{self.seed}|{idempotency_key or ''}|{index}",
                format=self.format,
                quality=self.compression,
                transparent=self.background == "transparent",
            )
            for index in range(self.count)
        ]


def read_order(body: bytes) -> ImageOrder:
    fields = _Fields(_read_object(body))
    fields.refuse_unknown()
    prompt = fields.text("prompt")
    if prompt is None:
        raise errors.missing_parameter("prompt")
    if len(prompt) > PROMPT_LIMIT:
        raise errors.prompt_too_long(len(prompt), PROMPT_LIMIT)
    model_id = fields.text("model")
    if model_id is None:
        raise errors.missing_parameter("model")
    model = models.find(model_id)
    width, height = model.size(fields.text("size") or "auto")
    picture_format = cast("PictureFormat", fields.choice("output_format", FORMATS, "png"))
    background = fields.choice("background", BACKGROUNDS, "auto")
    fields.choice("moderation", MODERATIONS, "auto")
    compression = fields.number("output_compression", 0, 100)
    _check_combination(picture_format, background, compression)
    return ImageOrder(
        prompt=prompt,
        model=model,
        count=fields.number("n", 1, MAX_IMAGES) or 1,
        width=width,
        height=height,
        quality=model.quality(fields.text("quality") or "auto"),
        background="transparent" if background == "transparent" else "opaque",
        format=picture_format,
        compression=95 if compression is None else compression,
        seed=str(fields.values.get("seed") or ""),
    )


class _Fields:
    """A JSON object whose null members count as absent, as they do for the provider."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = {name: value for name, value in values.items() if value is not None}

    def refuse_unknown(self) -> None:
        for name in self.values:
            if name not in _KNOWN | _NEUTRAL:
                raise errors.unknown_parameter(name)
        if self.values.get("stream"):
            raise errors.invalid_value("stream", "true", "false")

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise errors.invalid_type(name, "a string", value)
        return value

    def choice(self, name: str, supported: tuple[str, ...], default: str) -> str:
        value = self.text(name) or default
        if value not in supported:
            raise errors.invalid_value(name, value, ", ".join(f"'{choice}'" for choice in supported))
        return value

    def number(self, name: str, lowest: int, highest: int) -> int | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise errors.invalid_type(name, "an integer", value)
        if not lowest <= value <= highest:
            raise errors.invalid_range(name, value, lowest, highest)
        return value


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        raise errors.not_json() from None
    if not isinstance(value, dict):
        raise errors.not_json()
    return value


def _check_combination(picture_format: str, background: str, compression: int | None) -> None:
    if background == "transparent" and picture_format == "jpeg":
        raise errors.invalid_value("output_format", "jpeg", "'png', 'webp' (with a transparent background)")
    if compression not in (None, 100) and picture_format == "png":
        raise errors.invalid_value("output_compression", compression, "100 (for the png output format)")
