"""The last pass over every picture: bloom, vignette, contrast, and the fine grain that also hides banding."""

import io
import math
from functools import lru_cache

import numpy as np
import skia
from PIL import Image, ImageEnhance

from twins.art.canvas import LINEAR, Blend, Canvas, paint, radial
from twins.art.color import BLACK, WHITE, mix
from twins.art.spec import PictureSpec

GRAIN_TILE = 512
# zlib's run-length strategy.
Z_RLE = 3


def bloom(art: Canvas, strength: float = 0.4, *, radius: float = 18, threshold: float = 0.65) -> None:
    """Bright parts shine over their edges. Worked out at quarter size: it is a blur, nobody sees the difference."""
    gain = 1 / (1 - threshold)
    only_bright = skia.ColorFilters.Matrix(
        [
            gain,
            0,
            0,
            0,
            -threshold * gain,
            0,
            gain,
            0,
            0,
            -threshold * gain,
            0,
            0,
            gain,
            0,
            -threshold * gain,
            0,
            0,
            0,
            1,
            0,
        ]
    )
    sigma = radius * art.unit / 4
    small = skia.Surface(max(art.width // 4, 1), max(art.height // 4, 1))
    area = skia.Rect.MakeWH(small.width(), small.height())
    bright_parts = skia.ImageFilters.ColorFilter(only_bright, None)
    spread = skia.ImageFilters.Blur(sigma, sigma, skia.TileMode.kClamp, bright_parts)
    whole = skia.Rect.MakeWH(art.width, art.height)
    small.getCanvas().drawImageRect(art.surface.makeImageSnapshot(), area, LINEAR)
    shining = skia.Surface(small.width(), small.height())
    shining.getCanvas().drawImage(small.makeImageSnapshot(), 0, 0, skia.SamplingOptions(), paint(WHITE, filters=spread))
    art.pen.drawImageRect(shining.makeImageSnapshot(), whole, LINEAR, paint(WHITE, strength, blend=Blend.kScreen))


def vignette(art: Canvas, strength: float = 0.4) -> None:
    centre, reach = (art.width * 0.5, art.height * 0.48), math.hypot(art.width, art.height) * 0.62
    edge = mix(art.palette.near, WHITE, 1 - strength)
    art.fill(paint(BLACK, blend=Blend.kMultiply, shader=radial(centre, reach, [WHITE, WHITE, edge], [0, 0.55, 1])))


def develop(art: Canvas, *, saturation: float = 1.1, contrast: float = 0.3, grain: float = 2.6) -> Image.Image:
    """The finished picture. Grain is in 8-bit steps and repeats too far apart to be seen."""
    picture = Image.fromarray(art.pixels()).convert("RGB")
    picture = ImageEnhance.Color(picture).enhance(saturation).point(_curve(contrast) * 3)
    noise = (art.rng.standard_normal((GRAIN_TILE, GRAIN_TILE), np.float32) * grain).astype(np.int16)
    repeats = (-(-art.height // GRAIN_TILE), -(-art.width // GRAIN_TILE))
    texture = np.tile(noise, repeats)[: art.height, : art.width, None]
    return Image.fromarray(np.clip(np.asarray(picture) + texture, 0, 255).astype(np.uint8))


def encode(picture: Image.Image, spec: PictureSpec) -> bytes:
    if spec.transparent:
        picture.putalpha(_fading(picture.size))
    encoded = io.BytesIO()
    match spec.format:
        case "png":
            # Grain leaves nothing to find for the slower strategies: run-length is faster and not larger.
            picture.save(encoded, "PNG", compress_level=1, compress_type=Z_RLE)
        case "jpeg":
            picture.save(encoded, "JPEG", quality=spec.quality, subsampling=0)
        case "webp":
            picture.save(encoded, "WEBP", quality=spec.quality, method=1)
    return encoded.getvalue()


def _fading(size: tuple[int, int]) -> Image.Image:
    """A picture with transparent background: the scene stands in the middle and dissolves towards the edges."""
    width, height = size
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    alpha = np.clip((1 - np.hypot(rows, columns)) * 4, 0, 1)
    return Image.fromarray((alpha * 255).astype(np.uint8))


@lru_cache(maxsize=8)
def _curve(contrast: float) -> list[int]:
    """An S-curve: deeper darks and brighter lights by `contrast`, ends unchanged."""
    x = np.linspace(0, 1, 256)
    steps: list[int] = (np.clip(x + (x * x * (3 - 2 * x) - x) * contrast, 0, 1) * 255 + 0.5).astype(int).tolist()
    return steps
