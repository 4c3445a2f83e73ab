"""Dunes with sharp crests, one side in the light and the other in shade, under a hazy sky."""

import numpy as np
import skia

from twins.art.brief import Brief
from twins.art.canvas import LINEAR, Blend, Canvas, linear, paint, polygon, to_image
from twins.art.color import WHITE, Color, mix, shade
from twins.art.noise import fbm, profile
from twins.art.props import birds
from twins.art.sky import mist, rays, sky
from twins.art.terrain import mountains
from twins.art.wildlife import caravan

DUNES = 5


def draw(art: Canvas, brief: Brief) -> None:
    palette, width, height = art.palette, art.width, art.height
    side = 1 if art.rng.random() < 0.5 else -1
    art.sun, art.horizon = (width * (0.5 + 0.2 * side), height * 0.3), height * 0.56
    sky(art, clouds=0.25, sun_radius=58)
    mountains(
        art,
        foot=height * 0.57,
        height=min(height, width * 1.15) * 0.12,
        fade=0.55,
        color=mix(palette.sky[0], palette.near, 0.4),
        peaks=4,
    )
    mist(art, height * 0.56, height * 0.1, 0.7)
    if brief.names("pyramid"):
        _pyramids(art)
    for layer in range(DUNES):
        nearness = layer / (DUNES - 1)
        _dune(art, height * (0.6 + 0.38 * nearness**1.2), min(width, height) * (0.035 + 0.075 * nearness), nearness)
        if layer == 2 and brief.names("camel|caravan"):
            caravan(art, width * (0.16 if side > 0 else 0.5), height * 0.645, min(width, height) * 0.05, count=5)
    rays(art, 0.3)
    birds(art, 4)


def _dune(art: Canvas, y: float, swell: float, nearness: float) -> None:
    palette, width, height = art.palette, art.width, art.height
    count = width // 6
    xs = np.linspace(-10, width + 10, count)
    # Only a part of a longer line, so that a picture has one or two crests and they are not alike.
    line_of_crests = profile(art.rng, count * 2, base=1, octaves=2, gain=0.25)[count // 2 : count // 2 + count]
    crest = y - swell * (1.5 * (1 - np.abs(line_of_crests)) - 0.4)
    line = list(zip(xs.tolist(), crest.tolist(), strict=True))
    body = polygon([(-10, height + 10.0), *line, (width + 10.0, height + 10.0)])
    sand = mix(mix(palette.green, palette.accent2, 0.35), palette.fog, 0.7 * (1 - nearness))
    lit, shadow = mix(sand, palette.sun, 0.45), mix(shade(sand, -0.12), palette.near, 0.3 * nearness)
    art.draw(
        body,
        paint(
            sand, shader=linear((0, y - swell), (0, y + height * 0.2), [lit, sand, shade(sand, -0.06)], [0, 0.35, 1])
        ),
    )
    with skia.AutoCanvasRestore(art.pen):
        art.pen.clipPath(body, doAntiAlias=True)
        _lee_side(art, line, swell, shadow)
        _ripples(art, y, swell, sand, nearness)


def _lee_side(art: Canvas, crest: list[tuple[float, float]], swell: float, shadow: Color) -> None:
    """The side away from the sun: it falls from the crest to a wandering foot."""
    foot = profile(art.rng, len(crest), base=3, octaves=4, gain=0.4)
    lee = [
        (x - art.sun_side * swell * 1.2, y + swell * (1.0 + 1.6 * max(drop, 0.0)))
        for (x, y), drop in zip(crest, foot.tolist(), strict=True)
    ]
    falling = polygon([*crest, *reversed(lee)])
    look = linear((0, crest[0][1] - swell), (0, crest[0][1] + swell * 2.6), [shadow, shadow], None, [0.85, 0.25])
    art.draw(falling, paint(shadow, shader=look, blur=1.2 * art.unit))


def _ripples(art: Canvas, y: float, swell: float, sand: Color, nearness: float) -> None:
    if nearness < 0.5:
        return
    width, rows = art.width // 2, max(int((art.height - y + swell) / 2), 4)
    bend = fbm(art.rng, width, rows, base=3, octaves=3)
    lines = np.sin(np.linspace(0, rows * 0.42 / art.unit, rows, dtype=np.float32)[:, None] ** 0.93 + bend * 26)
    strength = np.clip(lines, 0, 1) * 0.16 * nearness
    area = skia.Rect(0, y - swell, art.width, art.height)
    art.pen.drawImageRect(
        to_image(mix(sand, art.palette.near, 0.5), strength), area, LINEAR, paint(WHITE, blend=Blend.kMultiply)
    )


def _pyramids(art: Canvas) -> None:
    palette = art.palette
    for x, size, fade in ((0.34, 0.13, 0.45), (0.5, 0.2, 0.3)):
        middle, foot, half = art.width * x, art.height * 0.585, art.height * size
        ridge = middle - art.sun_side * half * 0.25
        stone = mix(mix(palette.green, palette.accent2, 0.3), palette.fog, fade)
        top = (middle, foot - half * 1.15)
        art.draw(polygon([top, (middle - half, foot), (middle + half, foot)]), paint(mix(stone, palette.sun, 0.35)))
        far = middle - art.sun_side * half
        art.draw(polygon([top, (far, foot), (ridge, foot + 4)]), paint(mix(shade(stone, -0.14), palette.near, 0.2)))
