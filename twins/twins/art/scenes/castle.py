"""A castle on its hill: mountains behind, trees around, a path that leads up to the gate."""

import skia

from twins.art.brief import Brief
from twins.art.canvas import Canvas, Point, linear, paint, rounded
from twins.art.color import WHITE, Color, from_hex, mix, shade
from twins.art.plants import broadleaf, conifer_line, flowers, grass
from twins.art.props import birds
from twins.art.sky import mist, rays, sky
from twins.art.terrain import hill, mountains, path_to

STONE, SAND, GATE, WINDOW = from_hex("d9c7b8"), from_hex("e3c694"), from_hex("6a4022"), from_hex("ffe39a")
LILAC = from_hex("c792ea")


def draw(art: Canvas, _brief: Brief) -> None:
    palette, width, height = art.palette, art.width, art.height
    side = 1 if art.rng.random() < 0.5 else -1
    art.sun, art.horizon = (width * (0.5 + 0.25 * side), height * 0.3), height * 0.64
    sky(art, clouds=0.8, sun_radius=42)
    mountains(
        art,
        foot=height * 0.63,
        height=min(height, width * 1.15) * 0.27,
        fade=0.55,
        color=mix(palette.sky[0], palette.sky[1], 0.5),
        peaks=3,
        snow=0.6,
    )
    mist(art, height * 0.6, height * 0.17, 0.7)
    mountains(
        art,
        foot=height * 0.67,
        height=height * 0.1,
        fade=0.4,
        color=mix(palette.green, palette.sky[1], 0.4),
        peaks=4,
        snow=2,
    )
    mist(art, height * 0.65, height * 0.1, 0.7)
    seat = hill(art, height * 0.71, height * 0.05, palette.green, fade=0.34, phase=1.1 if side > 0 else 0.2)
    conifer_line(art, seat, 40, height * 0.05, mix(mix(palette.green, palette.near, 0.3), palette.fog, 0.35))
    castle_x, size = width * (0.5 - 0.1 * side), min(width, height) * 0.42
    _castle(art, castle_x, seat(castle_x) + height * 0.012, size)
    rays(art, 0.4)
    birds(art, 8)
    for _ in range(12):
        x = art.between(0, width)
        if abs(x - castle_x) < size * 0.5:  # the gate stays free
            continue
        broadleaf(
            art,
            x,
            seat(x) + height * art.between(0.01, 0.045),
            height * art.between(0.06, 0.1),
            mix(palette.green, palette.near, 0.15),
            fade=0.25,
        )
    _foreground(art, castle_x, side)


def _foreground(art: Canvas, castle_x: float, side: int) -> None:
    palette, width, height = art.palette, art.width, art.height
    near = hill(
        art, height * 0.8, height * 0.035, shade(palette.green, -0.02), fade=0.1, phase=3.3 if side > 0 else 0.4
    )
    for edge, tall in ((0.04, 0.33), (0.15, 0.24), (0.88, 0.26), (0.97, 0.34)):
        x = width * edge
        broadleaf(art, x, near(x) + height * 0.035, min(width, height) * tall, shade(palette.green, 0.02), fade=0.05)
    grass(art, near, 1200, shade(palette.green, -0.02), tall=30, depth=210)
    path_to(art, (castle_x, height * 0.735), width * (0.5 + 0.06 * side), width * 0.22, SAND)
    flowers(art, lambda x: near(x) + height * 0.03, 110, [palette.accent, palette.accent2, WHITE, LILAC], depth=170)


def _castle(art: Canvas, x: float, y: float, size: float) -> None:
    wall = mix(STONE, art.palette.fog, 0.2)
    # Offset, width, height and roof of each tower, back ones first; the wall with the gate stands before the keep.
    towers = (
        (-0.17, 0.13, 0.66, 0.26),
        (0.2, 0.12, 0.56, 0.24),
        (0.03, 0.18, 0.8, 0.34),
        (-0.34, 0.15, 0.38, 0.22),
        (0.36, 0.16, 0.36, 0.2),
    )
    for dx, wide, tall, roof in towers:
        _tower(art, (x + dx * size, y), size, (wide, tall, roof), wall)
    _battlement(art, x, y, size, wall)


def _lit_across(art: Canvas, x: float, half: float, color: Color) -> skia.Shader:
    lit, dark = mix(color, art.palette.sun, 0.45), mix(shade(color, -0.15), art.palette.near, 0.28)
    side = 1 if art.sun[0] > x else -1
    return linear(
        (x - side * half, 0), (x + side * half, 0), [dark, color, lit, mix(lit, color, 0.4)], [0, 0.45, 0.85, 1]
    )


def _tower(art: Canvas, foot: Point, size: float, shape: tuple[float, float, float], wall: Color) -> None:
    x, y = foot
    wide, tall, roof = (measure * size for measure in shape)
    art.pen.drawRect(
        skia.Rect(x - wide / 2, y - tall, x + wide / 2, y), paint(wall, shader=_lit_across(art, x, wide / 2, wall))
    )
    _masonry(art, skia.Rect(x - wide / 2, y - tall, x + wide / 2, y), wall)
    rim = skia.Rect(x - wide * 0.6, y - tall - size * 0.015, x + wide * 0.6, y - tall + size * 0.028)
    art.pen.drawRect(rim, paint(wall, shader=_lit_across(art, x, wide * 0.6, wall)))
    _roof(art, x, y - tall, wide, roof)
    _flag(art, x, y - tall - roof, size)
    pane = min(wide * 0.2, size * 0.032)
    for row in range(max(1, int(tall / (size * 0.22)))):
        top = y - tall + size * (0.09 + 0.17 * row)
        art.draw(rounded(x - pane / 2, top, x + pane / 2, top + pane * 2.2, pane / 2), paint(WINDOW))
        art.glow((x, top + pane), pane * 4, WINDOW, 0.55, 1)


def _masonry(art: Canvas, area: skia.Rect, wall: Color) -> None:
    stones = skia.Path()
    stone = (min(area.width() * 0.16, 14 * art.unit), 5 * art.unit)
    for _ in range(int(area.width() * area.height() / (art.unit**2 * 90))):
        left, top = art.between(area.left(), area.right() - stone[0]), art.between(area.top(), area.bottom() - stone[1])
        stones.addRect(skia.Rect(left, top, left + stone[0], top + stone[1]))
    art.draw(stones, paint(shade(wall, -0.2), 0.14))


def _roof(art: Canvas, x: float, y: float, wide: float, tall: float) -> None:
    cone = skia.Path()
    cone.moveTo(x - wide * 0.74, y)
    cone.quadTo(x - wide * 0.18, y - tall * 0.38, x, y - tall)
    cone.quadTo(x + wide * 0.18, y - tall * 0.38, x + wide * 0.74, y)
    cone.quadTo(x, y + wide * 0.2, x - wide * 0.74, y)
    color = mix(art.palette.accent, art.palette.fog, 0.16)
    art.draw(cone, paint(color, shader=_lit_across(art, x, wide * 0.7, color)))


def _flag(art: Canvas, x: float, y: float, size: float) -> None:
    art.pen.drawLine(x, y + size * 0.01, x, y - size * 0.09, paint(art.palette.near, stroke=size * 0.006))
    cloth = skia.Path()
    cloth.moveTo(x, y - size * 0.09)
    cloth.cubicTo(x + size * 0.03, y - size * 0.11, x + size * 0.05, y - size * 0.06, x + size * 0.09, y - size * 0.08)
    cloth.cubicTo(x + size * 0.06, y - size * 0.05, x + size * 0.03, y - size * 0.03, x, y - size * 0.045)
    art.draw(cloth, paint(art.palette.accent2))


def _battlement(art: Canvas, x: float, y: float, size: float, wall: Color) -> None:
    half, tall = size * 0.36, size * 0.22
    look = paint(wall, shader=_lit_across(art, x, half, wall))
    art.pen.drawRect(skia.Rect(x - half, y - tall, x + half, y), look)
    merlon = half * 2 / 13
    for at in range(7):
        left = x - half + merlon * at * 2
        art.pen.drawRect(skia.Rect(left, y - tall - size * 0.035, left + merlon, y - tall), look)
    _masonry(art, skia.Rect(x - half, y - tall, x + half, y), wall)

    def arch(reach: float) -> skia.Path:
        return rounded(x - reach, y - size * 0.15, x + reach, y + reach, reach)

    with skia.AutoCanvasRestore(art.pen):
        art.pen.clipRect(skia.Rect(x - half, y - tall, x + half, y))
        art.draw(arch(size * 0.07), paint(shade(wall, -0.2)))
        art.draw(
            arch(size * 0.055),
            paint(GATE, shader=linear((0, y - size * 0.15), (0, y), [shade(GATE, -0.1), mix(GATE, WINDOW, 0.7)])),
        )
