"""Checks what a provider calls a picture: it must be a whole PNG of exactly the size that was asked for.

The size is read from the header before anything is decoded, so a bomb is refused unopened.
"""

import hashlib
import io
from dataclasses import dataclass

from PIL import Image

from generation.errors import unusable

MEDIA_TYPE = "image/png"
BYTES_PER_PIXEL = 8  # four channels of 16 bits, the most that PNG knows
METADATA_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that may be kept."""

    data: bytes
    width: int
    height: int
    sha256: str


def check(data: bytes, *, size: tuple[int, int]) -> Picture:
    """Decode ``data`` fully. Raises ProviderError when it is not a PNG of ``size``. Slow: call it in a thread."""
    if len(data) > _most_bytes(size):
        raise unusable(f"The picture has {len(data)} bytes, more than {size[0]}x{size[1]} pixels need.")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            found = image.size
            if found == size:
                image.load()
    except Exception as error:  # the bytes are a stranger's, and decoders raise whatever they meet
        raise unusable(f"The bytes are not a whole PNG: {type(error).__name__}.") from error
    if found != size:
        raise unusable(f"The picture is {found[0]}x{found[1]}, not {size[0]}x{size[1]}.")
    return of(data, size=size)


def _most_bytes(size: tuple[int, int]) -> int:
    """What a PNG may weigh that compresses nothing and says a lot about itself: decoders ignore what lies behind it."""
    return size[0] * size[1] * BYTES_PER_PIXEL * 11 // 10 + METADATA_BYTES


def of(data: bytes, *, size: tuple[int, int]) -> Picture:
    """A picture whose bytes are known to be good."""
    return Picture(data, *size, hashlib.sha256(data).hexdigest())
