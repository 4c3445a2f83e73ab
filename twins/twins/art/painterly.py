"""Repaints a finished scene in brush strokes that follow its forms, larger ones first."""

import numpy as np
import skia
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from twins.art.canvas import LINEAR, Blend, Canvas, paint, to_image
from twins.art.color import WHITE

Floats = NDArray[np.floating]
STROKE_WIDTH, STROKE_HEIGHT = 96, 32
# Size of the strokes in thousandths of the short side, and how much detail a place needs to get any.
PASSES = ((22.0, 0.0), (11.0, 0.012), (6.0, 0.03))


def paint_over(art: Canvas) -> None:
    original = art.surface.makeImageSnapshot()
    pixels = Image.fromarray(art.pixels()).convert("RGB")
    brush = _brush()
    for size, detail in PASSES:
        _pass(art, pixels, brush, size * art.unit, detail)
    # Strokes average towards grey; a share of the original brings back its light and colour.
    art.pen.drawImage(original, 0, 0, skia.SamplingOptions(), paint(WHITE, 0.22))
    art.pen.drawImage(original, 0, 0, skia.SamplingOptions(), paint(WHITE, 0.3, blend=Blend.kLighten))


def _pass(art: Canvas, picture: Image.Image, brush: skia.Image, size: float, detail: float) -> None:
    blurred = np.asarray(picture.filter(ImageFilter.BoxBlur(size * 0.25)), np.float32) / 255
    tone = np.asarray(picture.convert("L").filter(ImageFilter.BoxBlur(size * 0.7)), np.float32)
    down, right = np.gradient(tone, axis=0), np.gradient(tone, axis=1)
    step = max(3.0, size * 0.5)
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(0, art.width, step), np.arange(0, art.height, step)))
    x, y = x + art.rng.normal(0, step * 0.35, x.size), y + art.rng.normal(0, step * 0.35, y.size)
    columns, rows = x.clip(0, art.width - 1).astype(int), y.clip(0, art.height - 1).astype(int)
    if detail:
        busy = np.hypot(right, down)[rows, columns] / 255 > detail
        x, y, columns, rows = x[busy], y[busy], columns[busy], rows[busy]
    order = art.rng.permutation(x.size)
    x, y, columns, rows = x[order], y[order], columns[order], rows[order]
    colors = blurred[rows, columns] * (1 + art.rng.normal(0, 0.035, (x.size, 1)))
    angles = np.arctan2(right[rows, columns], -down[rows, columns]) + art.rng.normal(0, 0.18, x.size)
    flat = np.hypot(right, down)[rows, columns] < 0.15
    angles[flat] = 0.15 * np.sin(x[flat] / 120 + y[flat] / 170)
    _strokes(art, brush, np.stack([x, y], 1), angles, colors, scale=size * 2.4 / STROKE_WIDTH)


def _strokes(art: Canvas, brush: skia.Image, at: Floats, angles: Floats, colors: Floats, *, scale: float) -> None:
    cosines, sines = np.cos(angles) * scale, np.sin(angles) * scale
    half_width, half_height = STROKE_WIDTH / 2, STROKE_HEIGHT / 2
    lefts = at[:, 0] - cosines * half_width + sines * half_height
    tops = at[:, 1] - sines * half_width - cosines * half_height
    transforms = [skia.RSXform(*values) for values in np.stack([cosines, sines, lefts, tops], 1).tolist()]
    channels = (colors.clip(0, 1) * 255).astype(np.uint32)
    tints = (0xF2000000 | channels[:, 0] << 16 | channels[:, 1] << 8 | channels[:, 2]).tolist()
    areas = [skia.Rect.MakeWH(STROKE_WIDTH, STROKE_HEIGHT)] * len(transforms)
    art.pen.drawAtlas(brush, transforms, areas, tints, Blend.kModulate, LINEAR)


def _brush() -> skia.Image:
    """One stroke: long, tapered, with the streaks that bristles leave."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[-1 : 1 : STROKE_HEIGHT * 1j, -1 : 1 : STROKE_WIDTH * 1j].astype(np.float32)
    edge = np.clip((1 - columns**4 - rows**2) * 2.2, 0, 1)
    grid = rng.random((STROKE_HEIGHT // 2, 6), np.float32)
    bristles = np.asarray(Image.fromarray(grid).resize((STROKE_WIDTH, STROKE_HEIGHT), Image.Resampling.BICUBIC))
    return to_image(WHITE, (edge * np.clip(0.45 + 0.9 * bristles, 0, 1)).astype(np.float32))
