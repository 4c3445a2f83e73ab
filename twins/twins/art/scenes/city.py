"""A skyline across the water at night: towers in depth, lit windows, neon signs, and all of it mirrored."""

import skia

from twins.art.brief import Brief
from twins.art.canvas import Blend, Canvas, linear, paint, polygon, rounded
from twins.art.color import BLACK, Color, from_hex, mix
from twins.art.sky import mist, rays, sky
from twins.art.water import water

LIGHTS = (from_hex("ffdf9a"), from_hex("ffc46b"), from_hex("fff3cf"))
BEACON = from_hex("ff4040")


def draw(art: Canvas, _brief: Brief) -> None:
    palette, width, height = art.palette, art.width, art.height
    middle = art.between(0.42, 0.58)
    art.sun, art.horizon, art.light = (width * middle, height * 0.4), height * 0.68, (0.3, -0.7)
    sky(art, clouds=0.35, sun_radius=92, stars=180 if palette.dark else 0)
    shore = height * 0.69
    art.glow((width * middle, shore), max(width, height) * 0.7, palette.accent, 0.5, 2)
    _row(art, shore, (0.2, 0.48), (34, 80), fade=0.72, lit=0.2)
    mist(art, shore - height * 0.1, height * 0.3, 0.55)
    _row(art, shore, (0.14, 0.42), (50, 105), fade=0.42, lit=0.3)
    mist(art, shore - height * 0.05, height * 0.2, 0.5)
    _row(art, shore, (0.12, 0.5), (78, 150), fade=0.08, lit=0.34)
    water(art, shore, calm=0.6, glitter=0.5)
    _light_on_water(art, shore)
    rays(art, 0.2)


def _row(
    art: Canvas, foot: float, heights: tuple[float, float], widths: tuple[float, float], *, fade: float, lit: float
) -> None:
    """One depth of the skyline: low in the middle, where the light is, and rising to both sides."""
    palette = art.palette
    wall = mix(mix(palette.near, palette.sky[1], 0.25), palette.fog, fade)
    x = -20 * art.unit
    while x < art.width + 20 * art.unit:
        wide = art.between(*widths) * art.unit
        off_centre = abs((x + wide / 2 - art.sun[0]) / art.width) * 2
        tall = art.between(*heights) * min(art.height, art.width * 1.25) * (0.34 + 1.05 * min(off_centre, 1.0))
        _tower(art, skia.Rect(x, foot - tall, x + wide, foot + 4), wall, fade=fade, lit=lit)
        x += wide + art.between(-4, 10) * art.unit


def _tower(art: Canvas, body: skia.Rect, wall: Color, *, fade: float, lit: float) -> None:
    palette, unit = art.palette, art.unit
    sunny_right = art.sun[0] > body.centerX()
    edge = mix(wall, palette.sun, 0.5 * (1 - fade * 0.5))
    colors, stops = ([wall, wall, edge], [0, 0.86, 1]) if sunny_right else ([edge, wall, wall], [0, 0.14, 1])
    _roof(art, body, wall)
    art.pen.drawRect(body, paint(wall, shader=linear((body.left(), 0), (body.right(), 0), colors, stops)))
    haze = linear((0, body.centerY()), (0, body.bottom()), [palette.fog, palette.fog], None, [0, 0.38])
    art.pen.drawRect(skia.Rect(body.left(), body.centerY(), body.right(), body.bottom()), paint(BLACK, shader=haze))
    _windows(art, body, fade=fade, lit=lit)
    if fade < 0.2 and art.rng.random() < 0.6 and body.height() > art.height * 0.12:
        _sign(art, body)
    art.pen.drawLine(body.left(), body.top(), body.right(), body.top(), paint(edge, 0.7, stroke=1.2 * unit))


def _roof(art: Canvas, body: skia.Rect, wall: Color) -> None:
    unit, middle, wide = art.unit, body.centerX(), body.width()
    match int(art.rng.integers(6)):
        case 0:
            for step, share in enumerate((0.3, 0.18)):
                top = body.top() - (step + 1) * 16 * unit
                art.pen.drawRect(skia.Rect(middle - wide * share, top, middle + wide * share, body.top()), paint(wall))
        case 1:
            tip = body.top() - art.between(30, 70) * unit
            art.pen.drawLine(middle, body.top(), middle, tip, paint(wall, stroke=2.6 * unit))
            art.glow((middle, tip), 11 * unit, BEACON, 0.9, 1)
        case 2 if wide < 90 * unit:
            art.draw(
                polygon([(body.left(), body.top()), (middle, body.top() - wide * 0.7), (body.right(), body.top())]),
                paint(wall),
            )
        case 3:
            art.draw(
                polygon(
                    [(body.left(), body.top()), (body.right(), body.top() - wide * 0.32), (body.right(), body.top())]
                ),
                paint(wall),
            )


def _windows(art: Canvas, body: skia.Rect, *, fade: float, lit: float) -> None:
    """A grid of windows, lit in runs as floors are, batched by colour."""
    unit = art.unit
    columns, floor = max(3, int(body.width() / (12 * unit))), 15 * unit * max(0.6, 1 - fade)
    cell, floors = body.width() / columns, max(int(body.height() / floor) - 1, 1)
    tints = [*LIGHTS, art.palette.accent2]
    panes = [skia.Path() for _ in tints]
    for level in range(floors):
        busy = lit * (2.2 if art.rng.random() < 0.22 else 0.8)
        for column, (chance, tint) in enumerate(art.rng.random((columns, 2)).tolist()):
            if chance < busy:
                left, top = body.left() + cell * (column + 0.2), body.top() + floor * (level + 0.6)
                panes[int(tint * len(panes))].addRect(skia.Rect(left, top, left + cell * 0.6, top + floor * 0.52))
    for pane, tint_color in zip(panes, tints, strict=True):
        art.draw(pane, paint(mix(tint_color, art.palette.fog, fade * 0.5), (0.85 - fade * 0.5)))


def _sign(art: Canvas, body: skia.Rect) -> None:
    unit, color = art.unit, art.one_of([art.palette.accent, art.palette.accent2])
    left, tall = (
        body.left() + body.width() * art.between(0.15, 0.7),
        max(body.height() * art.between(0.22, 0.36), 90 * unit),
    )
    top = body.top() + body.height() * art.between(0.12, 0.3)
    art.glow((left + 7 * unit, top + tall / 2), tall * 0.85, color, 0.75, 1)
    art.draw(rounded(left, top, left + 14 * unit, top + tall, 5 * unit), paint(color, 0.35))
    art.draw(
        rounded(left, top, left + 14 * unit, top + tall, 5 * unit), paint(mix(color, (1, 1, 1), 0.5), stroke=2.2 * unit)
    )
    for mark in range(int(tall / (16 * unit))):
        y = top + (mark + 0.7) * 16 * unit
        art.pen.drawLine(
            left + 4 * unit,
            y,
            left + art.between(7, 11) * unit,
            y + art.between(-4, 4) * unit,
            paint(mix(color, (1, 1, 1), 0.7), stroke=2 * unit),
        )


def _light_on_water(art: Canvas, shore: float) -> None:
    palette, unit = art.palette, art.unit
    dark = linear((0, shore), (0, art.height), [palette.near, palette.near], None, [0.0, 0.6])
    art.pen.drawRect(skia.Rect(0, shore, art.width, art.height), paint(palette.near, shader=dark))
    for _ in range(int(70 * art.width / min(art.width, art.height))):
        x, length = art.between(0, art.width), art.between(30, 190) * unit
        top = shore + art.between(0, 0.45) * (art.height - shore)
        tint = art.one_of([palette.accent, palette.accent2, palette.sun])
        streak = skia.Rect(x, top, x + art.between(2, 8) * unit, top + length)
        art.pen.drawRect(streak, paint(tint, art.between(0.05, 0.28), blend=Blend.kScreen, blur=3 * unit))
