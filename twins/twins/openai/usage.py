"""Token counts of an image call, in the proportions the provider documents.

Its tables give 272, 1,056 and 4,160 output tokens for a 1024x1024 picture of low, medium and high quality; other
sizes follow by area. Text counts as one token per four characters.
"""

from math import ceil
from typing import Any

from twins.openai.order import ImageOrder

SQUARE_PIXELS = 1024 * 1024
SQUARE_TOKENS = {"low": 272, "medium": 1056, "high": 4160, "xhigh": 6240, "max": 8320}


# Above a 64-bit integer: what a counter that has run below zero looks like.
HUGE = 2**64 - 1


def usage(order: ImageOrder) -> dict[str, Any]:
    text = ceil(len(order.prompt) / 4)
    per_image = round(SQUARE_TOKENS[order.quality] * order.width * order.height / SQUARE_PIXELS)
    images = per_image * order.count
    return {
        "input_tokens": text,
        "input_tokens_details": {"text_tokens": text, "image_tokens": 0},
        "output_tokens": images,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": images},
        "total_tokens": text + images,
    }


def odd_usage(order: ImageOrder, kind: str | None) -> Any:
    """Counts that no client should have to expect; without a kind there are none at all."""
    counts = usage(order)
    odd: dict[str, Any] = {
        "null": counts | {"input_tokens": None, "output_tokens": None},
        "float": counts | {"input_tokens": counts["input_tokens"] + 0.5},
        "negative": counts | {"output_tokens": -counts["output_tokens"]},
        "huge": counts | {"output_tokens": HUGE},
        "number": counts["total_tokens"],
    }
    return odd.get(kind or "empty", {})
