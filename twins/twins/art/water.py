"""Water that mirrors what stands above it: waves shrink with distance, and the sun leaves a road of glitter."""

import numpy as np
import skia

from twins.art.canvas import LINEAR, Blend, Canvas, oval, paint, to_image
from twins.art.color import mix
from twins.art.noise import Field, tile

WAVES = 256


def water(art: Canvas, level: float, *, calm: float = 0.5, glitter: float = 1.0) -> None:
    """Everything below `level` becomes water. `calm` 1 is a mirror, 0 a choppy sea."""
    top = int(level)
    rows = art.height - top
    above = art.pixels()[max(top - rows, 0) : top, :, :3][::-1]
    if above.shape[0] < rows:
        above = np.concatenate([above, np.repeat(above[-1:], rows - above.shape[0], axis=0)])
    nearness = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    waves = _waves(art, rows)
    swing = waves - 0.5
    reach = (1.15 - calm) * (14 + 150 * nearness) * art.unit
    columns = np.clip(np.arange(art.width)[None] + (swing * reach * 0.7).astype(int), 0, art.width - 1)
    lines = np.clip(np.arange(rows)[:, None] + (swing * reach * 1.6).astype(int), 0, rows - 1)
    mirrored = above[lines, columns].astype(np.float32) / 255
    deep = np.array(mix(art.palette.sky[0], art.palette.near, 0.25), np.float32)
    share = (0.1 + 0.5 * nearness)[..., None]
    body = (mirrored + (deep - mirrored) * share) * (1 + swing[..., None] * (0.25 + 0.75 * (1 - calm)))
    if glitter:
        body += _glitter(art, waves, nearness)[..., None] * np.array(art.palette.sun, np.float32) * glitter
    area = skia.Rect(0, top, art.width, art.height)
    art.pen.drawImageRect(to_image(np.clip(body, 0, 1)), area, LINEAR)
    shore = skia.Rect(0, level - 2 * art.unit, art.width, level + 5 * art.unit)
    art.pen.drawRect(shore, paint(art.palette.sun, 0.3, blur=4 * art.unit))


def _waves(art: Canvas, rows: int) -> Field:
    """Noise on a plane seen at a low angle: wide crests near the viewer, fine ones far away."""
    pattern = tile(art.rng, WAVES, base=8, octaves=4, gain=0.6)
    distance = 1 / (np.linspace(0.045, 1, rows, dtype=np.float32)[:, None])
    across = (np.arange(art.width, dtype=np.float32)[None] - art.width / 2) / art.unit * 0.09 * distance
    along = distance * 200 + np.zeros_like(across)
    pattern_at: Field = pattern[along.astype(int) % WAVES, across.astype(int) % WAVES]
    fine = pattern[(along * 2.7).astype(int) % WAVES, (across * 1.9 + 31).astype(int) % WAVES]
    mixed: Field = pattern_at * 0.6 + fine * 0.4
    return mixed


def _glitter(art: Canvas, waves: Field, nearness: Field) -> Field:
    spread = (0.035 + 0.16 * nearness) * art.width
    road = np.exp(-(((np.arange(art.width, dtype=np.float32)[None] - art.sun[0]) / spread) ** 2))
    sparks: Field = np.clip((waves - 0.56) * 9, 0, 1) * road * (1 - nearness * 0.55)
    return sparks


def foam(art: Canvas, x: float, y: float, length: float, strength: float = 0.5) -> None:
    """White water along a hull or a rock."""
    for _ in range(12):
        at = x + art.between(-0.5, 0.5) * length
        wide = length * art.between(0.03, 0.09)
        art.draw(
            oval(at, y + art.between(-0.4, 0.4) * wide, wide, wide * 0.12),
            paint(art.palette.sun, strength, blend=Blend.kScreen),
        )
