"""A product shot: one vessel on a podium, soft daylight, leaf shadows on the wall. The seed chooses its shape."""

import math

import skia

from twins.art.brief import Brief
from twins.art.canvas import Blend, Canvas, Point, blob, linear, oval, paint, radial, rounded
from twins.art.color import BLACK, WHITE, Color, from_hex, mix, shade

GOLD, PAPER = from_hex("d9a95b"), from_hex("fff8ec")


def draw(art: Canvas, brief: Brief) -> None:
    palette, width, height = art.palette, art.width, art.height
    backdrop = mix(palette.sky[3], palette.accent2, 0.22)
    art.light, art.sun = (-0.6, -0.7), (width * 0.2, height * 0.1)
    size, middle = min(width, height), width * 0.49
    _room(art, backdrop)
    art.soft(
        oval(middle + size * 0.03, height * 0.5 - size * 0.1, size * 0.3, size * 0.3),
        mix(palette.accent, backdrop, 0.35),
        depth=0.55,
        rim=0.3,
    )
    _leaf_shadows(art)
    podium = height * 0.5 + size * 0.29
    _drum(
        art,
        (middle + size * 0.2, podium - size * 0.055),
        size * 0.17,
        size * 0.085,
        mix(backdrop, palette.accent, 0.22),
    )
    _drum(art, (middle, podium), size * 0.3, size * 0.1, mix(backdrop, WHITE, 0.35))
    _spheres(art, middle, podium, size)
    tall = size * 0.48
    art.draw(
        oval(middle + tall * 0.24, podium - 4 * art.unit, tall * 0.38, tall * 0.035),
        paint(palette.near, 0.4, blur=14 * art.unit),
    )
    art.draw(oval(middle, podium, tall * 0.2, tall * 0.025), paint(palette.near, 0.55, blur=6 * art.unit))
    if brief.names("cream|jar|lotion|skincare|candle") or art.rng.random() < 0.3:
        _jar(art, middle, podium, tall * 0.62)
    else:
        _bottle(art, middle, podium, tall)


def _room(art: Canvas, backdrop: Color) -> None:
    palette, width, height = art.palette, art.width, art.height
    floor, floor_tone = height * 0.5 + min(width, height) * 0.24, mix(shade(backdrop, -0.07), palette.accent, 0.15)
    wall = [mix(backdrop, WHITE, 0.7), backdrop, mix(shade(backdrop, -0.16), palette.accent, 0.3)]
    art.fill(paint(backdrop, shader=radial((width * 0.42, height * 0.36), max(width, height) * 0.8, wall, [0, 0.5, 1])))
    art.pen.drawRect(
        skia.Rect(0, floor, width, height),
        paint(backdrop, shader=linear((0, floor), (0, height), [floor_tone, mix(backdrop, WHITE, 0.25)])),
    )
    band = 40 * art.unit
    curve = linear(
        (0, floor - band), (0, floor + band), [backdrop, floor_tone, floor_tone], [0, 0.5, 1], [0.0, 0.9, 0.0]
    )
    art.pen.drawRect(skia.Rect(0, floor - band, width, floor + band), paint(backdrop, shader=curve, blur=14 * art.unit))


def _leaf_shadows(art: Canvas) -> None:
    """The shadow of a palm leaf outside the window."""
    tone, size = mix(art.palette.near, art.palette.accent, 0.3), max(art.width, art.height)
    root = (art.width * 1.02, -0.05 * art.height)
    for leaf in range(13):
        angle, length = 2.2 + (-0.3 + leaf * 0.11) * 1.1, size * art.between(0.6, 0.78)
        tip = (root[0] + math.cos(angle) * length, root[1] + math.sin(angle) * length)
        middle = ((root[0] + tip[0]) / 2, (root[1] + tip[1]) / 2)
        across = (-(tip[1] - root[1]) / length * 26 * art.unit, (tip[0] - root[0]) / length * 26 * art.unit)
        blade = skia.Path()
        blade.moveTo(*root)
        blade.quadTo(middle[0] + across[0], middle[1] + across[1], *tip)
        blade.quadTo(middle[0] - across[0], middle[1] - across[1], *root)
        art.draw(blade, paint(tone, 0.16, blend=Blend.kMultiply, blur=11 * art.unit))


def _drum(art: Canvas, top: Point, radius: float, tall: float, color: Color) -> None:
    """A low cylinder; `top` is the centre of its upper face."""
    (x, y), flat = top, radius * 0.19
    art.draw(
        oval(x + radius * 0.25, y + tall + flat * 0.2, radius * 1.2, flat),
        paint(art.palette.near, 0.35, blur=18 * art.unit),
    )
    side = skia.Path()
    side.addRect(skia.Rect(x - radius, y, x + radius, y + tall))
    side.addPath(oval(x, y + tall, radius, flat))
    side.setFillType(skia.PathFillType.kWinding)
    around = linear(
        (x - radius, 0),
        (x + radius, 0),
        [color, mix(color, WHITE, 0.5), color, mix(shade(color, -0.16), art.palette.accent, 0.2)],
        [0, 0.22, 0.55, 1],
    )
    art.draw(side, paint(color, shader=around))
    top = linear((x - radius, y - flat), (x + radius, y + flat), [mix(color, WHITE, 0.8), mix(color, WHITE, 0.25)])
    art.draw(oval(x, y, radius, flat), paint(color, shader=top))


def _spheres(art: Canvas, x: float, podium: float, size: float) -> None:
    for dx, dy, radius, color in (
        (0.21, -0.1, 0.055, art.palette.accent),
        (0.29, -0.055, 0.034, art.palette.accent2),
        (-0.19, -0.005, 0.03, art.palette.accent2),
    ):
        at_x, at_y, round_ = x + dx * size, podium + dy * size, radius * size
        art.draw(
            oval(at_x + round_ * 0.5, at_y + round_ * 0.6, round_ * 1.1, round_ * 0.25),
            paint(art.palette.near, 0.4, blur=8 * art.unit),
        )
        art.soft(oval(at_x, at_y, round_, round_), color)
        art.draw(
            oval(at_x - round_ * 0.35, at_y - round_ * 0.45, round_ * 0.22, round_ * 0.14, -35),
            paint(WHITE, 0.75, blur=3 * art.unit),
        )


def _glass(art: Canvas, x: float, half: float, body: skia.Path, *, top: float, bottom: float) -> None:
    """Coloured glass: a dark edge, a bright streak, thicker colour at the bottom."""
    glass = art.palette.accent
    tones = [
        shade(glass, -0.24),
        shade(glass, -0.04),
        mix(glass, WHITE, 0.55),
        glass,
        shade(glass, -0.1),
        shade(glass, -0.3),
    ]
    art.draw(body, paint(glass, shader=linear((x - half, 0), (x + half, 0), tones, [0, 0.1, 0.26, 0.45, 0.8, 1])))
    with skia.AutoCanvasRestore(art.pen):
        art.pen.clipPath(body, doAntiAlias=True)
        tall = bottom - top
        thick = linear((0, bottom - tall * 0.3), (0, bottom), [art.palette.near, art.palette.near], None, [0, 0.42])
        art.pen.drawRect(skia.Rect(x - half, bottom - tall * 0.3, x + half, bottom + 9), paint(BLACK, shader=thick))
        for left, wide, strength in ((-0.78, 0.14, 0.75), (-0.56, 0.05, 0.5), (0.72, 0.1, 0.35)):
            streak = rounded(
                x + half * left, top + tall * 0.05, x + half * (left + wide), bottom - tall * 0.06, 8 * art.unit
            )
            art.draw(streak, paint(WHITE, strength, blur=2.2 * art.unit))


def _label(art: Canvas, x: float, half: float, top: float, bottom: float) -> None:
    edge = shade(PAPER, -0.22)
    art.pen.drawRect(
        skia.Rect(x - half, top, x + half, bottom),
        paint(
            PAPER,
            shader=linear((x - half, 0), (x + half, 0), [edge, PAPER, WHITE, PAPER, edge], [0, 0.15, 0.28, 0.6, 1]),
        ),
    )
    middle, mark = top + (bottom - top) * 0.38, min(half * 0.36, (bottom - top) * 0.26)
    art.draw(oval(x, middle, mark, mark), paint(art.palette.accent))
    art.draw(oval(x + mark * 0.36, middle - mark * 0.14, mark * 0.8, mark * 0.8), paint(PAPER))
    for line, share in enumerate((0.95, 0.6)):
        y = top + (bottom - top) * (0.74 + 0.1 * line)
        art.pen.drawRect(
            skia.Rect(x - half * share / 2, y, x + half * share / 2, y + (bottom - top) * 0.035),
            paint(art.palette.near, 0.75),
        )


def _cap(art: Canvas, x: float, half: float, top: float, bottom: float) -> None:
    tones = [shade(GOLD, -0.25), GOLD, from_hex("fff3c9"), GOLD, shade(GOLD, -0.2), mix(GOLD, WHITE, 0.3)]
    art.draw(
        rounded(x - half, top, x + half, bottom, 7 * art.unit),
        paint(GOLD, shader=linear((x - half, 0), (x + half, 0), tones, [0, 0.15, 0.3, 0.5, 0.85, 1])),
    )
    for groove in range(14):
        at = x + half * (-0.94 + groove * 0.145)
        art.pen.drawLine(
            at, top + 4 * art.unit, at, bottom - 4 * art.unit, paint(from_hex("7a5520"), 0.18, stroke=1.2 * art.unit)
        )


def _bottle(art: Canvas, x: float, y: float, tall: float) -> None:
    half, neck = tall * art.between(0.15, 0.2), tall * 0.06
    body = skia.Path()
    body.moveTo(x - half, y - tall * 0.02)
    body.lineTo(x - half, y - tall * 0.58)
    body.cubicTo(x - half, y - tall * 0.7, x - neck, y - tall * 0.7, x - neck, y - tall * 0.8)
    body.lineTo(x + neck, y - tall * 0.8)
    body.cubicTo(x + neck, y - tall * 0.7, x + half, y - tall * 0.7, x + half, y - tall * 0.58)
    body.lineTo(x + half, y - tall * 0.02)
    body.quadTo(x, y + tall * 0.035, x - half, y - tall * 0.02)
    _glass(art, x, half, body, top=y - tall * 0.62, bottom=y)
    with skia.AutoCanvasRestore(art.pen):
        art.pen.clipPath(body, doAntiAlias=True)
        _label(art, x, half, y - tall * 0.45, y - tall * 0.16)
    _cap(art, x, neck * 1.2, y - tall * 0.98, y - tall * 0.79)


def _jar(art: Canvas, x: float, y: float, tall: float) -> None:
    half = tall * 0.46
    body = blob(
        [
            (x - half, y - tall * 0.06),
            (x - half, y - tall * 0.66),
            (x - half * 0.86, y - tall * 0.72),
            (x + half * 0.86, y - tall * 0.72),
            (x + half, y - tall * 0.66),
            (x + half, y - tall * 0.06),
            (x + half * 0.8, y),
            (x - half * 0.8, y),
        ]
    )
    _glass(art, x, half, body, top=y - tall * 0.7, bottom=y)
    with skia.AutoCanvasRestore(art.pen):
        art.pen.clipPath(body, doAntiAlias=True)
        _label(art, x, half, y - tall * 0.56, y - tall * 0.16)
    _cap(art, x, half * 0.94, y - tall, y - tall * 0.7)
