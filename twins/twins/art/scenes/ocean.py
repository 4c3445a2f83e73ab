"""The sea: a reflecting surface with glitter, islands, surf in front, a boat or a lighthouse."""

import numpy as np

from twins.art.brief import Brief
from twins.art.canvas import Canvas, blob, linear, paint
from twins.art.color import WHITE, Color, mix, shade
from twins.art.props import birds, lighthouse, sailboat
from twins.art.sky import mist, rays, sky
from twins.art.terrain import mountains
from twins.art.water import foam, water

LEVEL = 0.57


def draw(art: Canvas, brief: Brief) -> None:
    palette, width, height = art.palette, art.width, art.height
    side = 1 if art.rng.random() < 0.5 else -1
    art.sun, art.horizon = (width * (0.5 + 0.14 * side), height * (LEVEL - 0.12)), height * LEVEL
    sky(art, clouds=0.85, sun_radius=52)
    far = mix(palette.sky[1], palette.near, 0.2)
    mountains(art, foot=height * LEVEL, height=height * 0.085, fade=0.5, color=far, peaks=3, snow=2)
    mist(art, height * LEVEL, height * 0.08, 0.5)
    rays(art, 0.35)
    water(art, height * LEVEL, calm=0.42, glitter=1.2)
    birds(art, 9)
    size, away = min(width, height), 0.5 - 0.19 * side
    if brief.names("lighthouse"):
        lighthouse(art, width * away, height * 0.66, size * 0.4)
        foam(art, width * away, height * 0.715, size * 0.6, 0.45)
    elif not brief.names("whale|surf|waves?|empty"):
        sailboat(art, width * away, height * 0.73, size * 0.34)
        foam(art, width * away, height * 0.75, size * 0.36)
    _surf(art)


def _surf(art: Canvas) -> None:
    """Three swells rolling in: dark bodies, light through their crests, broken lines of foam."""
    palette, width, height = art.palette, art.width, art.height
    for swell in range(3):
        y, turn = height * (0.86 + 0.055 * swell), art.between(0, 6)
        xs = np.linspace(-30, width + 30, 44)
        ys = y - art.unit * (
            15 * np.sin(xs / width * (8 - swell * 1.5) + turn) + 6 * np.sin(xs / width * 23 + turn * 2)
        )
        crest = list(zip(xs.tolist(), ys.tolist(), strict=True))
        body = blob(crest, closed=False)
        body.lineTo(width + 40, height + 20)
        body.lineTo(-40, height + 20)
        body.close()
        tone: Color = mix(mix(palette.sky[0], palette.sky[1], 0.45 - 0.18 * swell), palette.near, 0.15 + 0.22 * swell)
        light = linear(
            (0, y - 22 * art.unit),
            (0, y + height * 0.09),
            [mix(tone, palette.sun, 0.45), tone, shade(tone, -0.08)],
            [0, 0.28, 1],
        )
        art.draw(body, paint(tone, 0.88, shader=light))
        for start in range(0, 40, 2):
            if art.rng.random() < 0.62:
                length = int(art.rng.integers(3, 6))
                line = blob([(px, py + 2 * art.unit) for px, py in crest[start : start + length]], closed=False)
                art.draw(
                    line,
                    paint(
                        mix(WHITE, palette.sun, 0.3),
                        art.between(0.2, 0.7),
                        stroke=art.between(1, 4.2) * art.unit,
                        blur=0.9 * art.unit,
                    ),
                )
