"""Deep space over the ground of a moon: a nebula, stars, a ringed planet, a rocket when asked for."""

import math

import numpy as np
import skia

from twins.art.brief import Brief
from twins.art.canvas import LINEAR, Blend, Canvas, blob, linear, oval, paint, to_image
from twins.art.color import WHITE, Color, from_hex, mix, shade
from twins.art.noise import fbm
from twins.art.props import rocket

VOID, DUST = from_hex("05060f"), from_hex("b9b4c9")


def draw(art: Canvas, brief: Brief) -> None:
    palette, width, height = art.palette, art.width, art.height
    size, side = min(width, height), 1 if art.rng.random() < 0.5 else -1
    art.sun, art.light = (width * (0.5 - 0.4 * side), height * 0.1), (-0.6 * side, -0.6)
    _nebula(art)
    _stars(art)
    colors = [palette.accent, palette.accent2, palette.sun]
    _planet(
        art,
        (width * (0.5 + 0.2 * side), height * 0.34),
        size * art.between(0.15, 0.19),
        colors,
        ringed=True,
        tilt=-20 * side,
    )
    _planet(
        art,
        (width * (0.5 - 0.33 * side), height * 0.19),
        size * 0.05,
        [palette.sky[3], palette.sky[1], WHITE],
        ringed=False,
        tilt=0,
    )
    if brief.names("rocket|spaceship|spacecraft|shuttle"):
        rocket(art, width * (0.5 - 0.17 * side), height * 0.47, size * 0.3, tilt=20 * side)
    _moon_ground(art)


def _nebula(art: Canvas) -> None:
    """Noise bent by noise, in a band across the picture; a second field darkens it with dust lanes."""
    palette, width, height = art.palette, art.width // 2, art.height // 2
    gas, lanes = (
        fbm(art.rng, width, height, base=3, octaves=7, gain=0.55),
        fbm(art.rng, width, height, base=4, octaves=7, gain=0.55),
    )
    rows, columns = np.mgrid[0:height, 0:width]
    at_x = np.clip(columns + (lanes - 0.5) * width * 0.55, 0, width - 1).astype(int)
    at_y = np.clip(rows + (gas - 0.5) * height * 0.55, 0, height - 1).astype(int)
    bent, dust = gas[at_y, at_x], lanes[at_y, at_x]
    across = (columns / width - 0.5) * 0.55 * art.sun_side * -1 + (rows / height - 0.42) * 0.85
    band = np.exp(-((across / 0.24) ** 2)).astype(np.float32)
    dense = np.clip((bent - 0.36) * 3.2, 0, 1) * band
    sky = np.array(VOID, np.float32) + np.array(palette.sky[0], np.float32) * 0.4 * (1 - rows / height)[..., None]
    clouds = dense[..., None] * np.array(palette.sky[2], np.float32) * 0.85
    warm = (dense**2 * np.clip((lanes - 0.42) * 4, 0, 1))[..., None] * np.array(palette.accent, np.float32) * 0.8
    core = (dense**5)[..., None] * np.array(palette.sun, np.float32) * 0.8
    cold = (dense**1.5 * np.clip((0.5 - lanes) * 5, 0, 1))[..., None] * np.array(palette.accent2, np.float32) * 0.45
    shadow = 1 - 0.6 * np.clip((dust - 0.56) * 6, 0, 1)[..., None] * band[..., None]
    image = to_image((sky + clouds + warm + core + cold) * shadow)
    art.pen.drawImageRect(image, skia.Rect.MakeWH(art.width, art.height), LINEAR)


def _stars(art: Canvas) -> None:
    palette = art.palette
    tints = [mix(WHITE, tint, 0.4) for tint in (palette.accent2, palette.sun, WHITE)]
    for _ in range(int(700 * art.width * art.height / (min(art.width, art.height) ** 2))):
        radius = abs(float(art.rng.normal(0, 0.75))) * art.unit + 0.3
        art.pen.drawCircle(
            art.between(0, art.width),
            art.between(0, art.height),
            radius,
            paint(art.one_of(tints), art.between(0.25, 1)),
        )
    for _ in range(9):
        x, y, reach = art.between(0, art.width), art.between(0, art.height * 0.75), art.between(10, 26) * art.unit
        art.glow((x, y), reach * 2, palette.sun, 0.7, 2)
        for dx, dy in ((reach, 0), (0, reach)):
            art.pen.drawLine(
                x - dx, y - dy, x + dx, y + dy, paint(WHITE, 0.5, stroke=1.1 * art.unit, blur=0.8 * art.unit)
            )


def _planet(
    art: Canvas, at: tuple[float, float], radius: float, colors: list[Color], *, ringed: bool, tilt: float
) -> None:
    """A sphere with banded weather, a night side, and a bright rim of air."""
    (x, y), size = at, max(int(radius * 2), 8)
    art.glow(at, radius * 1.7, colors[0], 0.45, 1)
    weather = fbm(art.rng, size, size, base=3, octaves=6, gain=0.55, stretch=3)
    bands = (0.5 + 0.5 * np.sin((np.linspace(0, 9, size, dtype=np.float32)[:, None] + weather * 5.5) * 2.2))[..., None]
    first, second, storm = (np.array(color, np.float32) for color in colors)
    surface = first + (second - first) * bands
    surface += (storm - surface) * (np.clip(weather - 0.5, 0, 1) * 2.2)[..., None]
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    facing = np.sqrt(np.clip(1 - columns**2 - rows**2, 0, 1))
    light_x, light_y = art.light
    lit = np.clip(light_x * columns + light_y * rows + 0.62 * facing, 0, 1) ** 0.8
    air = (1 - facing) ** 3 * np.clip(light_x * columns + light_y * rows + 0.45, 0, 1)
    body = surface * (0.04 + lit[..., None] * 1.1) + air[..., None] * np.array(art.palette.accent2, np.float32) * 0.9
    disc = np.clip((1 - np.hypot(columns, rows)) * size / 2, 0, 1)
    with skia.AutoCanvasRestore(art.pen):
        art.pen.rotate(tilt, x, y)
        if ringed:
            _rings(art, at, radius, colors[1], front=False)
        art.field(body, disc, skia.Rect(x - radius, y - radius, x + radius, y + radius))
        if ringed:
            _rings(art, at, radius, colors[1], front=True)


def _rings(art: Canvas, at: tuple[float, float], radius: float, color: Color, *, front: bool) -> None:
    x, y = at
    top, bottom = (y, y + radius * 3) if front else (y - radius * 3, y)
    with skia.AutoCanvasRestore(art.pen):
        art.pen.clipRect(skia.Rect(x - radius * 3, top, x + radius * 3, bottom))
        for ring in range(26):
            reach = radius * (1.35 + ring * 0.034)
            strength = 0.12 + 0.5 * abs(math.sin(ring * 1.7) * math.sin(ring * 0.6))
            ellipse = oval(x, y, reach, reach * 0.24)
            art.draw(ellipse, paint(mix(color, art.palette.sun, 0.4), strength, stroke=radius * 0.03))


def _moon_ground(art: Canvas) -> None:
    palette, width, height = art.palette, art.width, art.height
    dust = mix(palette.sky[2], DUST, 0.45)
    xs, turn = np.linspace(-30, width + 30, 20), art.between(0, 6)
    line = height * 0.85 - art.unit * (26 * np.sin(xs / width * 2.8 + turn) + 5 * np.sin(xs / width * 13 + turn))
    ground = blob(list(zip(xs.tolist(), line.tolist(), strict=True)), closed=False)
    ground.lineTo(width + 40, height + 10)
    ground.lineTo(-40, height + 10)
    ground.close()
    light = linear((0, height * 0.8), (0, height), [mix(dust, WHITE, 0.4), dust, shade(dust, -0.27)], [0, 0.3, 1])
    art.draw(ground, paint(dust, shader=light))
    texture = fbm(art.rng, width // 2, height // 8, base=24, octaves=4, gain=0.65, stretch=4)
    with skia.AutoCanvasRestore(art.pen):
        art.pen.clipPath(ground, doAntiAlias=True)
        art.field(shade(dust, -0.3), np.clip((texture - 0.5) * 2.4, 0, 0.5), skia.Rect(0, height * 0.8, width, height))
        for nearness in np.sort(art.rng.random(18)).tolist():
            _crater(
                art,
                art.between(0, width),
                height * (0.84 + 0.16 * nearness),
                (12 + 50 * nearness) * art.unit * art.between(0.5, 1.3),
                dust,
            )
    art.draw(ground, paint(palette.accent2, 0.3, stroke=2 * art.unit, blur=2 * art.unit, blend=Blend.kScreen))


def _crater(art: Canvas, x: float, y: float, radius: float, dust: Color) -> None:
    art.draw(
        oval(x, y + radius * 0.05, radius * 1.1, radius * 0.34), paint(mix(dust, WHITE, 0.5), 0.55, blur=radius * 0.04)
    )
    toward = art.light[0]
    bowl = linear(
        (x + toward * radius, y - radius * 0.28),
        (x - toward * radius * 0.5, y + radius * 0.28),
        [shade(dust, -0.32), shade(dust, -0.06)],
    )
    art.draw(oval(x, y, radius, radius * 0.28), paint(dust, shader=bowl))
