"""A festival night: truss and beams in the haze, an LED wall, a band in motion, and the crowd in depth."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import skia

from twins.art.brief import Brief
from twins.art.canvas import (
    LINEAR,
    Blend,
    Canvas,
    Point,
    blob,
    limb,
    linear,
    oval,
    paint,
    polygon,
    radial,
    rounded,
    to_image,
)
from twins.art.color import BLACK, WHITE, Color, mix
from twins.art.noise import fbm

STAGE, TRUSS = 0.66, 0.12
LAMPS = 9


def draw(art: Canvas, _brief: Brief) -> None:
    palette, width, height = art.palette, art.width, art.height
    art.sun = (width * 0.5, height * 0.42)
    colors = [palette.accent, palette.accent2, mix(palette.accent, palette.accent2, 0.5), palette.sun]
    room = [mix(palette.sky[2], palette.accent, 0.3), mix(palette.sky[1], palette.near, 0.2), palette.near, BLACK]
    art.fill(
        paint(BLACK, shader=radial((width * 0.5, height * 0.5), max(width, height) * 0.75, room, [0, 0.35, 0.75, 1]))
    )
    _led_wall(art)
    _truss(art)
    _beams(art, colors)
    _stage(art)
    size = min(width, height)
    _band(art, min(size * 0.2, height * 0.22))
    _crowd(art)
    _confetti(art, colors)


def _led_wall(art: Canvas) -> None:
    """Rings of light behind the band, shown by a grid of diodes."""
    palette, unit = art.palette, art.unit
    foot, wide = art.height * STAGE, min(art.width * 0.5, art.height * 0.62)
    tall = min(art.height * 0.32, wide * 0.62)
    middle = art.width / 2
    wall = skia.Rect(middle - wide / 2, foot - tall, middle + wide / 2, foot)
    art.glow((middle, foot - tall / 2), wide * 1.1, palette.accent, 0.85, 2)
    turn = art.between(0, 6)
    with skia.AutoCanvasRestore(art.pen):
        art.pen.clipRect(wall)
        sweep = linear(
            (wall.left(), wall.top()), (wall.right(), wall.bottom()), [palette.sky[0], palette.accent, palette.accent2]
        )
        art.pen.drawRect(wall, paint(BLACK, shader=sweep))
        cycle = [palette.accent2, palette.sky[0], palette.accent, palette.sun]
        for ring in range(24, 0, -1):
            art.pen.drawCircle(middle, foot - tall * 0.45, tall * 0.056 * ring, paint(cycle[ring % 4], 0.5))
        for ray in range(24):
            angle = turn + ray * math.pi / 12
            tip = [
                (middle + math.cos(angle + d) * wide, foot - tall * 0.45 + math.sin(angle + d) * wide)
                for d in (-0.04, 0.04)
            ]
            art.draw(polygon([(middle, foot - tall * 0.45), *tip]), paint(palette.sun, 0.2, blend=Blend.kScreen))
        grid = skia.Path()
        for x in np.arange(wall.left(), wall.right(), 7 * unit).tolist():
            grid.addRect(skia.Rect(x, wall.top(), x + 1.2 * unit, wall.bottom()))
        for y in np.arange(wall.top(), wall.bottom(), 7 * unit).tolist():
            grid.addRect(skia.Rect(wall.left(), y, wall.right(), y + 1.2 * unit))
        art.draw(grid, paint(BLACK, 0.25))


def _truss(art: Canvas) -> None:
    width, top, foot = art.width, art.height * TRUSS, art.height * STAGE
    for start, end in (((0.03, top), (0.97, top)), ((0.1, top), (0.1, foot)), ((0.9, top), (0.9, foot))):
        _girder(art, (width * start[0], start[1]), (width * end[0], end[1]))
    for side in (0.16, 0.84):
        for box in range(5):
            y = top + (26 + box * 40) * art.unit
            art.draw(
                rounded(width * side - 22 * art.unit, y, width * side + 22 * art.unit, y + 34 * art.unit, 4 * art.unit),
                paint(mix(BLACK, art.palette.near, 0.5)),
            )


def _girder(art: Canvas, start: Point, end: Point) -> None:
    unit, depth = art.unit, 26 * art.unit
    along = (end[0] - start[0], end[1] - start[1])
    length = math.hypot(*along)
    across = (-along[1] / length * depth / 2, along[0] / length * depth / 2)
    metal = mix(art.palette.near, art.palette.fog, 0.22)
    bars = max(int(length / (depth * 1.5)), 1)
    joints = []
    for joint in range(bars + 1):
        share, sign = joint / bars, 1 if joint % 2 else -1
        joints.append((start[0] + along[0] * share + across[0] * sign, start[1] + along[1] * share + across[1] * sign))
    for first, second in pairwise(joints):
        art.pen.drawLine(*first, *second, paint(metal, stroke=2.4 * unit))
    for sign in (-1, 1):
        first = (start[0] + across[0] * sign, start[1] + across[1] * sign)
        second = (end[0] + across[0] * sign, end[1] + across[1] * sign)
        art.pen.drawLine(*first, *second, paint(metal, stroke=4 * unit))


def _beams(art: Canvas, colors: list[Color]) -> None:
    """Light made visible by haze: beams are drawn on a layer of their own and thinned by noise."""
    width, height, top = art.width, art.height, art.height * TRUSS + 16 * art.unit
    layer = skia.Surface(width, height)
    pen = layer.getCanvas()
    for lamp in range(LAMPS):
        angle = math.pi / 2 + (lamp - (LAMPS - 1) / 2) / (LAMPS - 1) * 1.5 + art.between(-0.25, 0.25)
        spread = art.between(0.03, 0.06)
        at = (width * _lamp_at(lamp), top)
        _beam(pen, at, angle, colors[lamp % 3], length=height * 1.15, spread=spread, unit=art.unit)
    for lamp in range(5):
        angle = -math.pi / 2 + (lamp - 2) * 0.22
        at = (width * (0.22 + 0.14 * lamp), height * STAGE)
        _beam(pen, at, angle, colors[(lamp + 1) % 4], length=height * 0.75, spread=0.03, unit=art.unit)
    haze = fbm(art.rng, width // 3, height // 3, base=4, octaves=6, gain=0.55, stretch=1.8)
    veil = to_image(WHITE, np.clip(haze * 1.7, 0, 1))
    pen.drawImageRect(veil, skia.Rect.MakeWH(width, height), LINEAR, paint(WHITE, blend=Blend.kDstIn))
    art.pen.drawImage(layer.makeImageSnapshot(), 0, 0, skia.SamplingOptions(), paint(WHITE, blend=Blend.kScreen))
    for lamp in range(LAMPS):
        at = (width * _lamp_at(lamp), top)
        art.pen.drawCircle(*at, 6 * art.unit, paint(WHITE))
        art.glow(at, 60 * art.unit, colors[lamp % 3], 1.0, 2)


def _lamp_at(lamp: int) -> float:
    return 0.08 + 0.84 * lamp / (LAMPS - 1)


def _beam(
    pen: skia.Canvas, lamp: Point, angle: float, color: Color, *, length: float, spread: float, unit: float
) -> None:
    ends = [
        (lamp[0] + math.cos(angle + turn) * length, lamp[1] + math.sin(angle + turn) * length)
        for turn in (-spread, spread)
    ]
    light = radial(lamp, length * 0.95, [mix(color, WHITE, 0.6), color, color], [0, 0.25, 1], [1, 0.5, 0.02])
    cone = polygon([(lamp[0] - 4 * unit, lamp[1]), (lamp[0] + 4 * unit, lamp[1]), *ends])
    pen.drawPath(cone, paint(color, blend=Blend.kPlus, shader=light, blur=3.5 * unit))


def _stage(art: Canvas) -> None:
    palette, foot = art.palette, art.height * STAGE
    floor = linear(
        (0, foot),
        (0, foot + art.height * 0.05),
        [mix(palette.near, palette.accent, 0.5), mix(BLACK, palette.near, 0.6)],
    )
    art.pen.drawRect(skia.Rect(0, foot, art.width, art.height), paint(BLACK, shader=floor))
    art.pen.drawRect(
        skia.Rect(0, foot - 2 * art.unit, art.width, foot + 2 * art.unit), paint(palette.sun, 0.7, blur=1.5 * art.unit)
    )
    art.glow((art.width / 2, foot), min(art.width, art.height) * 0.5, palette.sun, 0.35, 1)


@dataclass(frozen=True)
class Pose:
    """Joints in figure heights, measured from between the feet; a limb is its middle joint and its end."""

    hips: Point
    chest: Point
    head: Point
    left_leg: tuple[Point, Point]
    right_leg: tuple[Point, Point]
    left_arm: tuple[Point, Point]
    right_arm: tuple[Point, Point]


SINGER = Pose(
    hips=(0.0, 0.48), chest=(-0.05, 0.78), head=(-0.085, 0.92),
    left_leg=((-0.07, 0.26), (-0.17, 0.0)), right_leg=((0.11, 0.27), (0.1, 0.0)),
    left_arm=((-0.2, 0.74), (-0.1, 0.87)), right_arm=((0.09, 0.88), (0.2, 1.1)),
)  # fmt: skip
GUITARIST = Pose(
    hips=(0.0, 0.46), chest=(-0.07, 0.75), head=(-0.12, 0.88),
    left_leg=((-0.16, 0.24), (-0.26, 0.0)), right_leg=((0.13, 0.26), (0.22, 0.0)),
    left_arm=((-0.14, 0.56), (0.02, 0.5)), right_arm=((0.13, 0.66), (0.24, 0.68)),
)  # fmt: skip
BASSIST = Pose(
    hips=(0.0, 0.48), chest=(0.02, 0.79), head=(0.06, 0.92),
    left_leg=((-0.08, 0.25), (-0.1, 0.0)), right_leg=((0.12, 0.25), (0.18, 0.0)),
    left_arm=((-0.12, 0.6), (0.0, 0.5)), right_arm=((0.16, 0.68), (0.27, 0.74)),
)  # fmt: skip


def _band(art: Canvas, size: float) -> None:
    middle, foot = art.width / 2, art.height * STAGE + 4 * art.unit
    _drums(art, middle, foot, size)
    _player(art, middle - size * 0.02, foot, size * 1.1, SINGER, guitar=False)
    _player(art, middle - size * 1.15, foot, size, GUITARIST, guitar=True)
    _player(art, middle + size * 1.15, foot, size, BASSIST, guitar=True, mirrored=True)


def _player(art: Canvas, x: float, y: float, size: float, pose: Pose, *, guitar: bool, mirrored: bool = False) -> None:
    flip = -1 if mirrored else 1

    def at(joint: Point) -> Point:
        return x + joint[0] * size * flip, y - joint[1] * size

    hips, chest, head = pose.hips, pose.chest, pose.head
    parts = [
        oval(*at(head), size * 0.056, size * 0.072, 8 * flip),
        blob(
            [
                at((chest[0] - 0.1, chest[1] + 0.03)),
                at((chest[0] + 0.1, chest[1] + 0.03)),
                at((hips[0] + 0.075, hips[1] - 0.04)),
                at((hips[0] - 0.075, hips[1] - 0.04)),
            ]
        ),
        limb([at(chest), at(head)], size * 0.06),
    ]
    for side, leg in ((-1, pose.left_leg), (1, pose.right_leg)):
        knee, ankle = leg
        parts.append(limb([at((hips[0] + side * 0.04, hips[1])), at(knee), at(ankle)], size * 0.072))
        parts.append(oval(*at((ankle[0] + side * 0.025, 0.012)), size * 0.055, size * 0.02))
    for side, arm in ((-1, pose.left_arm), (1, pose.right_arm)):
        elbow, hand = arm
        parts.append(limb([at((chest[0] + side * 0.09, chest[1])), at(elbow), at(hand)], size * 0.044))
        parts.append(oval(*at(hand), size * 0.027, size * 0.027))
    if guitar:
        parts.append(oval(*at((0.0, 0.5)), size * 0.115, size * 0.075, -24 * flip))
        parts.append(oval(*at((0.09, 0.545)), size * 0.075, size * 0.055, -24 * flip))
        parts.append(limb([at((0.05, 0.53)), at((0.36, 0.72))], size * 0.022))
    for part in parts:
        art.draw(part, paint(mix(art.palette.sun, art.palette.accent2, 0.5), 0.8, blur=size * 0.016))
    for part in parts:
        art.draw(part, paint(mix(art.palette.near, BLACK, 0.5)))


def _drums(art: Canvas, x: float, y: float, size: float) -> None:
    """The kit on its riser behind the singer, rims catching the light."""
    dark, rim = mix(art.palette.near, BLACK, 0.55), mix(art.palette.accent2, WHITE, 0.3)
    art.pen.drawRect(skia.Rect(x - size * 0.72, y - size * 0.14, x + size * 0.72, y), paint(dark))
    art.pen.drawLine(
        x - size * 0.72, y - size * 0.14, x + size * 0.72, y - size * 0.14, paint(rim, 0.5, stroke=1.6 * art.unit)
    )
    drums = (
        (0.0, 0.36, 0.2, 0.2),
        (-0.36, 0.38, 0.13, 0.12),
        (0.36, 0.38, 0.13, 0.12),
        (-0.17, 0.62, 0.1, 0.07),
        (0.17, 0.62, 0.1, 0.07),
    )
    for dx, dy, wide, tall in drums:
        drum = oval(x + dx * size, y - dy * size, wide * size, tall * size)
        art.draw(drum, paint(dark))
        art.draw(drum, paint(rim, 0.6, stroke=1.8 * art.unit))
    for dx, tilt in ((-0.5, 14), (0.5, -14), (-0.32, 8)):
        cymbal = (x + dx * size, y - size * (0.8 if abs(dx) > 0.4 else 0.92))
        art.pen.drawLine(*cymbal, cymbal[0], y - size * 0.14, paint(dark, stroke=2.4 * art.unit))
        art.draw(oval(*cymbal, size * 0.16, size * 0.02, tilt), paint(mix(rim, art.palette.sun, 0.5), 0.9))


def _crowd(art: Canvas) -> None:
    """Rows of heads and raised arms, darker and larger towards the viewer, each rimmed by the light of the stage."""
    palette, height = art.palette, art.height
    for row in range(5):
        size = (11 + 7 * row + 1.5 * row * row) * art.unit
        y = height * (STAGE + 0.065) + (height * 0.21) * (row / 4) ** 1.15
        tint = mix(mix(palette.near, BLACK, 0.35 + 0.12 * row), palette.accent, max(0.28 - 0.07 * row, 0))
        people, phones = _people(art, y, size, with_phones=row > 0)
        rim = mix(palette.accent2 if row % 2 else palette.accent, palette.sun, 0.35)
        with skia.AutoCanvasRestore(art.pen):
            art.pen.translate(0, -2.2 * art.unit)
            art.draw(people, paint(rim, 0.85 - 0.1 * row, blur=2.2 * art.unit))
        fall = linear(
            (0, y - size),
            (0, y + size * (2.2 + row * 0.5)),
            [mix(tint, palette.accent, max(0.3 - 0.05 * row, 0)), mix(tint, BLACK, 0.55)],
        )
        art.draw(people, paint(tint, shader=fall))
        for x, top in phones:
            art.draw(
                rounded(x - size * 0.3, top - size * 0.55, x + size * 0.3, top + size * 0.5, 3 * art.unit),
                paint(mix(palette.accent2, WHITE, 0.6)),
            )
            art.glow((x, top), size * 1.6, palette.accent2, 0.5, 1)


def _people(art: Canvas, y: float, size: float, *, with_phones: bool) -> tuple[skia.Path, list[Point]]:
    people, phones = skia.Path(), []
    people.addRect(skia.Rect(0, y + size * 1.4, art.width, art.height + 5))
    x = -size
    while x < art.width + size * 2:
        head = y + art.between(-0.6, 0.7) * size
        people.addPath(oval(x, head, size * 0.66, size * 0.86))
        people.addPath(
            blob(
                [
                    (x - size * 1.25, head + size * 3),
                    (x - size * 1.1, head + size * 1.25),
                    (x, head + size * 0.72),
                    (x + size * 1.1, head + size * 1.25),
                    (x + size * 1.25, head + size * 3),
                ]
            )
        )
        if art.rng.random() < 0.4:
            lean, reach = art.between(-1, 1), art.between(1.6, 3.0)
            hand = (x + lean * size * 1.3, head - reach * size)
            people.addPath(
                limb(
                    [(x + lean * size, head + size * 1.5), (x + lean * size * 1.6, head - reach * size * 0.25), hand],
                    size * 0.38,
                )
            )
            people.addPath(oval(*hand, size * 0.27, size * 0.34))
            if with_phones and art.rng.random() < 0.16:
                phones.append((hand[0], hand[1] - size * 0.5))
        x += size * art.between(1.7, 2.5)
    people.setFillType(skia.PathFillType.kWinding)
    return people, phones


def _confetti(art: Canvas, colors: list[Color]) -> None:
    for _ in range(120):
        half = art.between(2.5, 6.5) * art.unit
        with skia.AutoCanvasRestore(art.pen):
            art.pen.translate(art.between(0, art.width), art.between(art.height * TRUSS, art.height * 0.9))
            art.pen.rotate(art.between(0, 180))
            art.pen.drawRect(
                skia.Rect(-half, -half * 0.4, half, half * 0.4),
                paint(art.one_of(colors), art.between(0.4, 0.95), blur=art.between(0.01, 1.4) * art.unit),
            )
