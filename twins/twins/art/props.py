"""Things that scenes share: boats, a lighthouse, balloons, a cabin, birds, fireflies, mushrooms, the aurora."""

import numpy as np
import skia

from twins.art.canvas import Blend, Canvas, blob, limb, linear, oval, paint, polygon, radial, rounded
from twins.art.color import BLACK, WHITE, Color, from_hex, mix, shade
from twins.art.noise import profile

WOOD, HULL, CANVAS_CLOTH = from_hex("5b3a29"), from_hex("8c4a2f"), from_hex("fff3dc")
LAMP, TOADSTOOL, STEM, WICKER = from_hex("ffe39a"), from_hex("d83a34"), from_hex("f6ead6"), from_hex("a5673f")


def sailboat(art: Canvas, x: float, y: float, size: float) -> None:
    hull = skia.Path()
    hull.moveTo(x - size * 0.36, y - size * 0.09)
    hull.quadTo(x, y - size * 0.02, x + size * 0.42, y - size * 0.12)
    hull.quadTo(x + size * 0.3, y + size * 0.06, x + size * 0.1, y + size * 0.06)
    hull.lineTo(x - size * 0.22, y + size * 0.06)
    hull.quadTo(x - size * 0.33, y + size * 0.03, x - size * 0.36, y - size * 0.09)
    hull.close()
    art.draw(oval(x, y + size * 0.075, size * 0.42, size * 0.045), paint(art.palette.near, 0.5, blur=size * 0.02))
    art.pen.drawLine(x, y - size * 0.06, x, y - size * 0.92, paint(WOOD, stroke=size * 0.016))
    art.soft(_sail(x + size * 0.02, y - size * 0.88, x + size * 0.39, y - size * 0.16), CANVAS_CLOTH, depth=0.8)
    art.soft(
        _sail(x - size * 0.02, y - size * 0.8, x - size * 0.3, y - size * 0.15), art.palette.accent, depth=0.8, rim=0.4
    )
    art.soft(hull, HULL)
    art.draw(
        blob(
            [(x - size * 0.36, y - size * 0.085), (x, y - size * 0.03), (x + size * 0.42, y - size * 0.115)],
            closed=False,
        ),
        paint(CANVAS_CLOTH, 0.8, stroke=size * 0.012),
    )


def _sail(mast_x: float, top: float, clew_x: float, foot: float) -> skia.Path:
    sail = skia.Path()
    sail.moveTo(mast_x, top)
    sail.quadTo(clew_x + (clew_x - mast_x) * 0.05, top + (foot - top) * 0.55, clew_x, foot)
    sail.quadTo((mast_x + clew_x) / 2, foot + (foot - top) * 0.05, mast_x, foot)
    sail.close()
    return sail


def lighthouse(art: Canvas, x: float, y: float, size: float) -> None:
    """On its rock, with the lamp lit and two beams."""
    tower = [
        (x - size * 0.115, y),
        (x - size * 0.07, y - size * 0.74),
        (x + size * 0.07, y - size * 0.74),
        (x + size * 0.115, y),
    ]
    lamp = (x, y - size * 0.82)
    for side in (-1, 1):
        beam = polygon([lamp, (x + side * size * 3, y - size * 1.25), (x + side * size * 3, y - size * 0.62)])
        art.draw(
            beam,
            paint(
                LAMP,
                blend=Blend.kScreen,
                blur=size * 0.02,
                shader=radial(lamp, size * 2.4, [LAMP, LAMP], None, [0.55, 0]),
            ),
        )
    rock = blob(
        [
            (x - size * 0.62, y + size * 0.14),
            (x - size * 0.42, y - size * 0.02),
            (x - size * 0.16, y - size * 0.06),
            (x + size * 0.2, y - size * 0.05),
            (x + size * 0.46, y + size * 0.03),
            (x + size * 0.7, y + size * 0.14),
        ]
    )
    art.soft(rock, mix(art.palette.near, art.palette.sky[1], 0.3), depth=0.8, rim=0.4)
    body = polygon(tower)
    art.soft(body, CANVAS_CLOTH, depth=0.7)
    with skia.AutoCanvasRestore(art.pen):
        art.pen.clipPath(body, doAntiAlias=True)
        for band in (0.1, 0.36, 0.62):
            stripe = skia.Rect(x - size, y - size * (band + 0.13), x + size, y - size * band)
            art.pen.drawRect(stripe, paint(art.palette.accent, 0.92, blend=Blend.kMultiply))
        shadow = linear(
            (x - size * 0.1, 0),
            (x + size * 0.1, 0),
            [BLACK, BLACK],
            None,
            [0.0, 0.38] if art.sun[0] < x else [0.38, 0.0],
        )
        art.pen.drawRect(skia.Rect(x - size, y - size, x + size, y), paint(BLACK, shader=shadow))
    art.pen.drawRect(
        skia.Rect(x - size * 0.105, y - size * 0.77, x + size * 0.105, y - size * 0.74), paint(art.palette.near)
    )
    art.draw(rounded(x - size * 0.06, y - size * 0.88, x + size * 0.06, y - size * 0.77, size * 0.01), paint(LAMP))
    art.draw(
        polygon([(x - size * 0.085, y - size * 0.88), (x, y - size * 0.99), (x + size * 0.085, y - size * 0.88)]),
        paint(mix(art.palette.accent, art.palette.near, 0.35)),
    )
    art.glow(lamp, size * 0.5, LAMP, 1.0, 2)


def balloon(art: Canvas, x: float, y: float, radius: float, colors: list[Color]) -> None:
    envelope = _envelope(x, y, radius, 1.0)
    for foot in (-0.3, 0.3):
        art.pen.drawLine(
            x + foot * radius * 0.7,
            y + radius * 1.15,
            x + foot * radius * 0.5,
            y + radius * 1.62,
            paint(WOOD, stroke=radius * 0.02),
        )
    art.soft(envelope, colors[0], rim=0.6)
    for gore, width in enumerate((0.66, 0.33), start=1):
        art.draw(_envelope(x, y, radius, width), paint(colors[gore % len(colors)], 0.6))
    with skia.AutoCanvasRestore(art.pen):
        art.pen.clipPath(envelope, doAntiAlias=True)
        lit = (x + art.sun_side * radius * 0.4, y - radius * 0.45)
        art.pen.drawCircle(*lit, radius, paint(WHITE, shader=radial(lit, radius, [WHITE, WHITE], None, [0.5, 0])))
        whole = radial(lit, radius * 2.3, [BLACK, BLACK, art.palette.near], [0, 0.45, 1], [0, 0, 0.7])
        art.pen.drawCircle(x, y, radius * 2.2, paint(BLACK, shader=whole))
    art.soft(
        rounded(x - radius * 0.18, y + radius * 1.6, x + radius * 0.18, y + radius * 1.86, radius * 0.05),
        WICKER,
        rim=0.4,
    )


def _envelope(x: float, y: float, radius: float, width: float) -> skia.Path:
    shape = skia.Path()
    shape.moveTo(x, y + radius * 1.32)
    for side in (-1, 1):
        near, far = (side * radius * factor * width for factor in (1.0, 1.12))
        if side < 0:
            shape.cubicTo(x + near, y + radius * 0.7, x + far, y + radius * 0.2, x + near, y - radius * 0.1)
            shape.cubicTo(x + near * 0.95, y - radius * 0.8, x + near * 0.4, y - radius, x, y - radius)
        else:
            shape.cubicTo(x + near * 0.4, y - radius, x + near * 0.95, y - radius * 0.8, x + near, y - radius * 0.1)
            shape.cubicTo(x + far, y + radius * 0.2, x + near, y + radius * 0.7, x, y + radius * 1.32)
    shape.close()
    return shape


def cabin(art: Canvas, x: float, y: float, size: float) -> None:
    """A small house with lit windows and smoke."""
    wall, roof = mix(WOOD, art.palette.sun, 0.12), mix(art.palette.accent, art.palette.near, 0.5)
    front = polygon(
        [
            (x - size * 0.5, y),
            (x - size * 0.5, y - size * 0.42),
            (x, y - size * 0.86),
            (x + size * 0.5, y - size * 0.42),
            (x + size * 0.5, y),
        ]
    )
    for puff in range(5):
        art.draw(
            oval(
                x + size * (0.26 + puff * 0.06),
                y - size * (1.0 + puff * 0.17),
                size * (0.05 + puff * 0.03),
                size * (0.05 + puff * 0.025),
            ),
            paint(art.palette.fog, 0.34 - puff * 0.05, blur=size * 0.035),
        )
    art.pen.drawRect(
        skia.Rect(x + size * 0.2, y - size * 0.94, x + size * 0.32, y - size * 0.5), paint(shade(wall, -0.08))
    )
    art.soft(front, wall, depth=0.5, rim=0.2)
    for board in range(1, 7):
        art.pen.drawLine(
            x - size * 0.5,
            y - size * 0.065 * board,
            x + size * 0.5,
            y - size * 0.065 * board,
            paint(shade(wall, -0.1), 0.6, stroke=size * 0.008),
        )
    for side in (-1, 1):
        plane = polygon(
            [
                (x, y - size * 0.95),
                (x + side * size * 0.62, y - size * 0.38),
                (x + side * size * 0.56, y - size * 0.33),
                (x, y - size * 0.83),
            ]
        )
        art.draw(plane, paint(mix(roof, art.palette.sun, 0.3) if side == art.sun_side else roof))
    for left in (-0.34, 0.12):
        art.draw(
            rounded(x + size * left, y - size * 0.34, x + size * (left + 0.22), y - size * 0.14, size * 0.01),
            paint(LAMP),
        )
        art.glow((x + size * (left + 0.11), y - size * 0.24), size * 0.42, LAMP, 0.55, 1)


def birds(art: Canvas, count: int) -> None:
    """A loose flock: birds of a flock fly together and are about the same size."""
    middle_x, middle_y = art.between(0.2, 0.8) * art.width, art.between(0.14, 0.34) * art.height
    for _ in range(count):
        x = middle_x + float(art.rng.normal(0, 60)) * art.unit
        y, wing = middle_y + float(art.rng.normal(0, 28)) * art.unit, art.between(6, 12) * art.unit
        lift = art.between(0.2, 0.6)
        bird = skia.Path()
        bird.moveTo(x - wing, y - wing * lift)
        bird.quadTo(x - wing * 0.4, y - wing * 0.5, x, y)
        bird.quadTo(x + wing * 0.4, y - wing * 0.5, x + wing, y - wing * lift)
        bird.quadTo(x + wing * 0.4, y - wing * 0.28, x, y + wing * 0.16)
        bird.quadTo(x - wing * 0.4, y - wing * 0.28, x - wing, y - wing * lift)
        art.draw(bird, paint(art.palette.near, 0.65))


def fireflies(art: Canvas, count: int, top: float, bottom: float) -> None:
    for _ in range(count):
        at, radius = (art.between(0, art.width), art.between(top, bottom)), art.between(1.5, 3.6) * art.unit
        art.glow(at, radius * 9, art.palette.accent2, 0.8, 1)
        art.pen.drawCircle(*at, radius, paint(from_hex("fffbe0")))


def mushroom(art: Canvas, x: float, y: float, size: float) -> None:
    art.draw(oval(x, y, size * 0.35, size * 0.06), paint(art.palette.near, 0.5, blur=size * 0.04))
    art.soft(
        blob(
            [
                (x - size * 0.13, y),
                (x - size * 0.09, y - size * 0.5),
                (x + size * 0.09, y - size * 0.5),
                (x + size * 0.14, y),
            ]
        ),
        STEM,
    )
    cap = blob(
        [
            (x - size * 0.42, y - size * 0.46),
            (x - size * 0.34, y - size * 0.74),
            (x, y - size * 0.96),
            (x + size * 0.34, y - size * 0.74),
            (x + size * 0.42, y - size * 0.46),
            (x, y - size * 0.4),
        ]
    )
    art.soft(cap, TOADSTOOL, rim=0.7)
    for dx, dy, radius in ((-0.2, -0.66, 0.06), (0.05, -0.8, 0.07), (0.22, -0.62, 0.05), (-0.03, -0.55, 0.04)):
        art.draw(oval(x + size * dx, y + size * dy, size * radius, size * radius * 0.8), paint(CANVAS_CLOTH, 0.92))


def aurora(art: Canvas) -> None:
    """Curtains of light: bright along a wandering foot, fading upwards in fine pleats."""
    width, height = art.width // 3, int(art.horizon / 3)
    rows = np.arange(height, dtype=np.float32)[:, None]
    for curtain, color in enumerate((art.palette.accent, art.palette.accent2, art.palette.accent)):
        foot = height * (0.42 + 0.16 * curtain + 0.16 * profile(art.rng, width, base=2, octaves=3, gain=0.4))[None]
        pleats = 0.55 + 0.45 * profile(art.rng, width, base=24, octaves=3, gain=0.6)[None]
        above = np.clip((foot - rows) / (height * 0.42), 0, None)
        light = np.where(rows < foot, np.exp(-above * 2.4), np.exp(-(rows - foot) / (height * 0.025)))
        art.field(color, light * pleats * 0.75, skia.Rect.MakeWH(art.width, art.horizon), Blend.kScreen)


def rocket(art: Canvas, x: float, y: float, size: float, *, tilt: float = 20) -> None:
    red, metal, glass = art.palette.accent, from_hex("f4f1ff"), from_hex("59d0ff")
    with skia.AutoCanvasRestore(art.pen):
        art.pen.rotate(tilt, x, y)
        flame = skia.Path()
        flame.moveTo(x - size * 0.1, y + size * 0.36)
        flame.quadTo(x - size * 0.13, y + size * 0.6, x, y + size * 0.95)
        flame.quadTo(x + size * 0.13, y + size * 0.6, x + size * 0.1, y + size * 0.36)
        art.glow((x, y + size * 0.5), size * 0.6, art.palette.accent2, 0.9, 2)
        heat = [WHITE, from_hex("ffe28a"), from_hex("ff7a3d"), from_hex("ff3d3d")]
        art.draw(
            flame,
            paint(
                WHITE,
                shader=linear((0, y + size * 0.36), (0, y + size * 0.95), heat, [0, 0.2, 0.55, 1], [1, 1, 0.9, 0]),
            ),
        )
        for side in (-1, 1):
            art.soft(
                limb(
                    [
                        (x + side * size * 0.12, y + size * 0.14),
                        (x + side * size * 0.25, y + size * 0.26),
                        (x + side * size * 0.25, y + size * 0.42),
                    ],
                    size * 0.09,
                ),
                red,
            )
        body = skia.Path()
        body.moveTo(x, y - size * 0.55)
        body.cubicTo(
            x + size * 0.2, y - size * 0.35, x + size * 0.24, y + size * 0.05, x + size * 0.13, y + size * 0.37
        )
        body.lineTo(x - size * 0.13, y + size * 0.37)
        body.cubicTo(x - size * 0.24, y + size * 0.05, x - size * 0.2, y - size * 0.35, x, y - size * 0.55)
        art.soft(body, metal, rim=0.8)
        with skia.AutoCanvasRestore(art.pen):
            art.pen.clipRect(skia.Rect(x - size, y - size, x + size, y - size * 0.28))
            art.soft(body, red, rim=0.6)
        art.soft(oval(x, y - size * 0.08, size * 0.105, size * 0.105), from_hex("8793b8"))
        art.soft(oval(x, y - size * 0.08, size * 0.08, size * 0.08), glass, rim=0.8)
        art.draw(oval(x - size * 0.025, y - size * 0.11, size * 0.03, size * 0.018, -30), paint(WHITE, 0.8))
        art.soft(
            rounded(x - size * 0.15, y + size * 0.33, x + size * 0.15, y + size * 0.4, size * 0.02), from_hex("5b6486")
        )
