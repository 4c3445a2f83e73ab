"""The cheapest picture that is still valid, of the right size, and different for every prompt and seed.

A one-bit PNG of two colours takes microseconds, for load tests in which the provider has to be instant.
"""

import io
import struct
import zlib
from functools import lru_cache

from twins.art.spec import PictureSpec

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def flat(spec: PictureSpec) -> bytes:
    png = _png(spec)
    if spec.format == "png":
        return png
    from PIL import Image  # only here: the usual PNG needs no codec at all

    encoded = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(encoded, spec.format)
    return encoded.getvalue()


def _png(spec: PictureSpec) -> bytes:
    header = struct.pack(">IIBBBBB", spec.width, spec.height, 1, 3, 0, 0, 0)
    first, second = spec.seed >> 40, spec.seed & 0xFFFFFF
    palette = first.to_bytes(3, "big") + second.to_bytes(3, "big")
    return b"".join(
        (
            SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", palette),
            _chunk(b"tEXt", b"Source\0" + spec.key.encode()),
            _chunk(b"IDAT", _stripes(spec.width, spec.height)),
            _chunk(b"IEND", b""),
        )
    )


@lru_cache(maxsize=32)
def _stripes(width: int, height: int) -> bytes:
    """The same two halves for every picture of a size: only the colours differ, and they are elsewhere."""
    row = (width + 7) // 8
    upper, lower = b"\0" + b"\x00" * row, b"\0" + b"\xff" * row
    return zlib.compress(upper * (height // 2) + lower * (height - height // 2), 9)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
