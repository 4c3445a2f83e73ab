"""Token counts of an image call, in the proportions the provider documents.

Its tables give 272, 1,056 and 4,160 output tokens for a 1024x1024 picture of low, medium and high quality; other
sizes follow by area. Text counts as one token per four characters.
"""

from math import ceil
from typing import Any

from twins.openai.order import ImageOrder

SQUARE_PIXELS = 1024 * 1024
SQUARE_TOKENS = {"low": 272, "medium": 1056, "high": 4160, "xhigh": 6240, "max": 8320}


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
