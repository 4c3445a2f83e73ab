"""The image models OpenAI offers: what each accepts, and until when.

A model is refused from its shutdown date on, exactly as the provider does it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from twins.openai import errors

FIXED_SIZES = ("1024x1024", "1536x1024", "1024x1536")
MAX_EDGE, MAX_PIXELS, EDGE_STEP, MAX_RATIO = 3840, 3840 * 2160, 16, 3
QUALITIES = ("low", "medium", "high")
DEFAULT_SIZE = (1024, 1024)
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


@dataclass(frozen=True)
class ImageModel:
    id: str
    created: int
    shutdown: date | None = None
    any_size: bool = True
    qualities: tuple[str, ...] = QUALITIES

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "model",
            "created": self.created,
            "owned_by": "system",
            "shutdown_date": self.shutdown.isoformat() if self.shutdown else None,
        }

    def size(self, text: str) -> tuple[int, int]:
        if text == "auto":
            return DEFAULT_SIZE
        found = _SIZE.fullmatch(text)
        if found is None or (not self.any_size and text not in FIXED_SIZES):
            supported = "'WIDTHxHEIGHT' and 'auto'" if self.any_size else _listed((*FIXED_SIZES, "auto"))
            raise errors.invalid_value("size", text, supported)
        width, height = int(found[1]), int(found[2])
        _check_edges(text, width, height)
        return width, height

    def quality(self, text: str) -> str:
        if text == "auto":
            return "high"
        if text not in self.qualities:
            raise errors.invalid_value("quality", text, _listed((*self.qualities, "auto")))
        return text


def offered(today: date | None = None) -> list[ImageModel]:
    today = today or datetime.now(UTC).date()
    return [model for model in _MODELS if model.shutdown is None or today < model.shutdown]


def find(model_id: str, today: date | None = None) -> ImageModel:
    for model in offered(today):
        if model.id == model_id:
            return model
    raise errors.model_not_found(model_id, retired=any(model.id == model_id for model in _MODELS))


def _check_edges(text: str, width: int, height: int) -> None:
    if width % EDGE_STEP or height % EDGE_STEP or not width or not height:
        raise _invalid_size(text, f"width and height must be divisible by {EDGE_STEP}")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise _invalid_size(text, f"the aspect ratio must be between 1:{MAX_RATIO} and {MAX_RATIO}:1")
    if max(width, height) > MAX_EDGE or width * height > MAX_PIXELS:
        raise _invalid_size(text, "the maximum supported resolution is 3840x2160")


def _invalid_size(text: str, reason: str) -> errors.OpenAIError:
    return errors.OpenAIError(
        400,
        f"Invalid size '{text}': {reason}.",
        kind="image_generation_user_error",
        param="size",
        code="invalid_value",
    )


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


_FINE_QUALITIES = (*QUALITIES, "xhigh", "max")
_MODELS = (
    ImageModel("dall-e-2", 1698798177, date(2026, 5, 12), any_size=False),
    ImageModel("dall-e-3", 1698785189, date(2026, 5, 12), any_size=False),
    ImageModel("gpt-image-1", 1745517030, date(2026, 10, 23), any_size=False),
    ImageModel("gpt-image-1-mini", 1758845821, date(2026, 12, 1), any_size=False),
    ImageModel("gpt-image-1.5", 1764030620, date(2026, 12, 1), any_size=False),
    ImageModel("chatgpt-image-latest", 1765925279, date(2026, 12, 1), any_size=False),
    ImageModel("gpt-image-2", 1776729600),
    ImageModel("gpt-image-2-2026-04-21", 1776729600),
    ImageModel("gpt-image-2.5-sunburst", 1788825600, qualities=_FINE_QUALITIES),
    ImageModel("gpt-image-2.5-sunburst-2026-09-08", 1788825600, qualities=_FINE_QUALITIES),
    ImageModel("gpt-image-2.5-flare", 1788825600, qualities=_FINE_QUALITIES),
    ImageModel("gpt-image-2.5-flare-2026-09-08", 1788825600, qualities=_FINE_QUALITIES),
    ImageModel("gpt-image-2.6-sunburst", 1793750400),
    ImageModel("gpt-image-2.6-flare", 1793750400),
)
