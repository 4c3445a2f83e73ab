"""The picture for every prompt that names no known subject: silken waves of colour before a great disc of light."""

import numpy as np
import skia

from twins.art.brief import Brief
from twins.art.canvas import Blend, Canvas, blob, linear, oval, paint, radial, smooth_linear
from twins.art.color import WHITE, Color, mix, ramp, shade
from twins.art.noise import profile

LAYERS = 11
POINTS = 28


def draw(art: Canvas, _brief: Brief) -> None:
    palette, width, height = art.palette, art.width, art.height
    side = 1 if art.rng.random() < 0.5 else -1
    art.sun = (width * (0.5 + 0.16 * side), height * art.between(0.3, 0.38))
    art.fill(paint(WHITE, shader=smooth_linear((0, 0), (width * 0.3 * side, height), palette.sky)))
    _disc(art)
    phase = art.between(0, 6)
    tones = ramp(
        [palette.sky[3], palette.accent, palette.sky[2], palette.sky[1], palette.accent2, palette.sky[0], palette.near],
        LAYERS,
    )
    for layer in range(LAYERS):
        _ribbon(art, layer, phase, tones[layer])
    for _ in range(5):
        _bead(art)


def _disc(art: Canvas) -> None:
    palette, radius = art.palette, min(art.width, art.height) * art.between(0.2, 0.26)
    art.glow(art.sun, radius * 3.4, palette.sun, 0.6, 2)
    x, y = art.sun
    face = linear((x, y - radius), (x, y + radius), [mix(palette.sun, WHITE, 0.4), palette.accent2, palette.accent])
    art.draw(oval(x, y, radius, radius), paint(palette.sun, shader=face))
    art.draw(oval(x, y, radius, radius), paint(WHITE, 0.5, stroke=2 * art.unit, blur=2 * art.unit, blend=Blend.kScreen))


def _ribbon(art: Canvas, layer: int, phase: float, tone: Color) -> None:
    """One fold of silk: its own gradient, a shadow cast on the fold behind it, and a bright edge."""
    width, height, unit = art.width, art.height, art.unit
    nearness = layer / (LAYERS - 1)
    y = height * (0.42 + 0.52 * nearness)
    swell = height * (0.05 + 0.035 * nearness)
    wander = profile(art.rng, POINTS, base=2, octaves=2, gain=0.35)
    xs = np.linspace(-60, width + 60, POINTS)
    ys = y - swell * (np.sin(xs / width * 4.1 + phase + layer * 0.55) + 0.55 * wander)
    edge = blob(list(zip(xs.tolist(), ys.tolist(), strict=True)), closed=False)
    fold = skia.Path(edge)
    fold.lineTo(width + 60, height + 60)
    fold.lineTo(-60, height + 60)
    fold.close()
    with skia.AutoCanvasRestore(art.pen):
        art.pen.translate(0, -14 * unit)
        art.draw(fold, paint(mix(art.palette.near, tone, 0.25), 0.5, blur=22 * unit))
    across = [mix(tone, art.palette.sun, 0.34), tone, shade(tone, -0.1), mix(tone, art.palette.accent, 0.25)]
    art.draw(fold, paint(tone, shader=linear((art.sun[0], 0), (width - art.sun[0] + width * 0.2, height), across)))
    down = linear(
        (0, y - swell * 1.6), (0, y + swell * 3), [WHITE, WHITE, art.palette.near], [0, 0.2, 1], [0.26, 0.04, 0.42]
    )
    art.draw(fold, paint(WHITE, shader=down, blend=Blend.kSoftLight))
    art.draw(
        edge, paint(mix(art.palette.sun, WHITE, 0.4), 0.65 - 0.35 * nearness, stroke=1.8 * unit, blend=Blend.kScreen)
    )


def _bead(art: Canvas) -> None:
    """A glossy sphere resting among the folds."""
    unit, palette = art.unit, art.palette
    radius = art.between(10, 44) * unit
    x, y = art.between(0.08, 0.92) * art.width, art.between(0.42, 0.86) * art.height
    tone = art.one_of([palette.accent, palette.accent2, palette.sun])
    art.draw(
        oval(x + radius * 0.35, y + radius * 0.75, radius, radius * 0.6), paint(palette.near, 0.4, blur=radius * 0.35)
    )
    art.soft(oval(x, y, radius, radius), tone, rim=0.7)
    shine = (x - radius * 0.36, y - radius * 0.42)
    art.draw(
        oval(*shine, radius * 0.24, radius * 0.15, -35),
        paint(WHITE, shader=radial(shine, radius * 0.24, [WHITE, WHITE], None, [0.95, 0])),
    )
