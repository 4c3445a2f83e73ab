"""Plants: conifers, broadleaf trees of painted dabs, grass, flowers, and the dark leaves that frame a picture."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import skia

from twins.art.canvas import LINEAR, Blend, Canvas, blob, linear, oval, paint, polygon, to_image
from twins.art.color import WHITE, Color, from_hex, mix, shade
from twins.art.noise import smoothstep
from twins.art.terrain import Height

BARK = from_hex("5a3d33")
POLLEN = from_hex("ffe9a0")
DAB = 32


def conifer(art: Canvas, x: float, y: float, height: float, color: Color, *, fade: float = 0.0) -> None:
    """Tiers of drooping branches, ragged at the tips, lighter towards the sun and darker under each tier."""
    side = 1 if art.sun[0] > x else -1
    color = mix(color, art.palette.fog, fade)
    lit, dark = mix(color, art.palette.sun, 0.4 * (1 - fade)), shade(color, -0.07 * (1 - fade))
    tiers = int(min(max(height / (14 * art.unit), 6), 15))
    spread = height * art.between(0.19, 0.25)
    art.pen.drawRect(skia.Rect(x - height * 0.012, y - height * 0.1, x + height * 0.012, y), paint(shade(color, -0.1)))
    for tier in range(tiers - 1, -1, -1):
        down = tier / (tiers - 1)
        top, reach = y - height + height * 0.9 * down, spread * (0.07 + 0.93 * down**0.9)
        drop = height * 0.17 * (0.45 + 0.55 * down)
        tint = mix(color, dark, art.between(0, 0.8))
        look = paint(
            tint,
            shader=linear(
                (x - side * reach, top), (x + side * reach, top + drop * 0.4), [dark, tint, lit], [0, 0.55, 1]
            ),
        )
        art.draw(_tier(art, x, top, reach, drop), look)


def _tier(art: Canvas, x: float, top: float, reach: float, drop: float) -> skia.Path:
    tips = 11
    points = [(x, top - drop * 0.35)]
    for tip in range(tips):
        across = tip / (tips - 1) * 2 - 1
        hanging = drop * (0.98 - 0.3 * abs(across) ** 1.4) * art.between(0.86, 1.12)
        points.append((x + across * reach * art.between(0.9, 1.08), top + hanging))
        if tip < tips - 1:
            between = across + 1 / (tips - 1)
            points.append((x + between * reach * 0.9, top + drop * art.between(0.58, 0.74)))
    return polygon(points)


def conifer_line(art: Canvas, surface: Height, count: int, height: float, color: Color) -> None:
    """Far conifers in one silhouette."""
    line = skia.Path()
    for _ in range(count):
        x = art.between(-0.02, 1.02) * art.width
        foot, tall = surface(x) + height * 0.1, height * art.between(0.55, 1.1)
        half = tall * 0.15
        points = [(x, foot - tall)]
        for step in (0.3, 0.55, 0.8, 1.0):
            points.append((x + half * step, foot - tall * (1 - step)))
            points.append((x + half * step * 0.55, foot - tall * (1.03 - step)))
        mirrored = [(2 * x - px, py) for px, py in reversed(points[1:])]
        line.addPath(polygon(points + mirrored))
    art.draw(line, paint(color))


def broadleaf(art: Canvas, x: float, y: float, height: float, color: Color, *, fade: float = 0.0) -> None:
    """A trunk and a crown of leaf dabs in clumps; each clump is lit on its own, so the crown reads as foliage."""
    color = mix(color, art.palette.fog, fade)
    _trunk(art, x, y, height, mix(BARK, art.palette.fog, fade))
    crown = np.array([x, y - height * 0.66])
    radius = np.array([height * 0.34, height * 0.29])
    angles, distances = art.rng.uniform(0, 2 * np.pi, 11), np.sqrt(art.rng.uniform(0.05, 1, 11))
    clumps = crown + np.stack([np.cos(angles), np.sin(angles)], 1) * distances[:, None] * radius * 0.72
    clumps[0] = crown
    dabs = int(min(max(height / art.unit * 0.3, 16), 80))
    offsets = art.rng.normal(0, 0.42, (clumps.shape[0], dabs, 2)).clip(-0.8, 0.8)
    at = clumps[:, None] + offsets * radius.mean() * 0.6
    towards = np.array([0.62 * (1 if art.sun[0] > x else -1), -0.78])
    light = (offsets @ towards) * 0.55 + ((at - crown) / radius) @ towards * 0.42
    order = np.argsort(light.ravel())
    tones = [
        shade(color, -0.16, 0.9),
        shade(color, -0.09),
        color,
        mix(color, art.palette.sun, 0.2),
        mix(color, art.palette.sun, 0.42),
    ]
    share = np.clip((light.ravel()[order] + 0.75) / 1.5 + art.rng.normal(0, 0.06, order.size), 0, 0.999)
    stamp(
        art,
        at.reshape(-1, 2)[order],
        [tones[int(value * len(tones))] for value in share],
        max(height * 0.05, 7 * art.unit),
    )


def _trunk(art: Canvas, x: float, y: float, height: float, color: Color) -> None:
    top = y - height * 0.55
    outline = [
        (x - height * 0.065, y), (x - height * 0.03, y - height * 0.14), (x - height * 0.028, top),
        (x + height * 0.028, top), (x + height * 0.03, y - height * 0.14), (x + height * 0.07, y),
    ]  # fmt: skip
    art.soft(blob(outline), color, depth=0.9, rim=0.2)
    for reach in (-0.17, 0.15):
        branch = blob(
            [
                (x, y - height * 0.36),
                (x + height * reach * 0.5, y - height * 0.5),
                (x + height * reach, y - height * 0.62),
            ],
            closed=False,
        )
        art.draw(branch, paint(shade(color, -0.04), stroke=height * 0.028))


def stamp(art: Canvas, points: np.ndarray, colors: Sequence[Color], size: float) -> None:
    """One brush dab per point, turned and sized at random."""
    count = len(points)
    angles, scales = art.rng.uniform(0, 2 * np.pi, count), art.rng.uniform(0.7, 1.25, count) * size / DAB
    cosines, sines = np.cos(angles) * scales, np.sin(angles) * scales
    half = DAB / 2
    lefts = points[:, 0] - cosines * half + sines * half
    tops = points[:, 1] - sines * half - cosines * half
    transforms = [skia.RSXform(*values) for values in np.stack([cosines, sines, lefts, tops], 1).tolist()]
    tints = [skia.Color4f(*color, 1.0).toColor() for color in colors]
    art.pen.drawAtlas(_dab(), transforms, [skia.Rect.MakeWH(DAB, DAB)] * count, tints, Blend.kModulate, LINEAR)


@lru_cache(maxsize=1)
def _dab() -> skia.Image:
    """A leaf-like brush mark: three lobes with a slightly soft edge."""
    rows, columns = np.mgrid[0:DAB, 0:DAB].astype(np.float32) / (DAB / 2) - 1
    angle, distance = np.arctan2(rows, columns), np.hypot(rows, columns)
    edge = 0.6 + 0.3 * np.cos(angle * 2 + 0.4) ** 2 - 0.1 * np.cos(angle * 5)
    return to_image(WHITE, (1 - smoothstep(0.0, 0.16, distance - edge)).astype(np.float32))


def grass(art: Canvas, surface: Height, count: int, color: Color, *, tall: float = 30, depth: float = 60) -> None:
    """Blades from the surface down to `depth` below it, growing with nearness, in a few tones."""
    tones = [
        shade(color, -0.1),
        shade(color, -0.04),
        color,
        mix(color, art.palette.sun, 0.16),
        mix(color, art.palette.sun, 0.34),
    ]
    tufts = [skia.Path() for _ in tones]
    draws = art.rng.random((count, 5))
    for x_at, down, length, bend, tone in draws.tolist():
        x = x_at * art.width
        y = surface(x) + down * depth * art.unit
        height = tall * art.unit * (0.45 + 0.55 * length) * (0.6 + 0.4 * down)
        tip, half = x + (bend - 0.5) * height, height * 0.05
        blade = tufts[int(tone * len(tufts))]
        blade.moveTo(x - half, y)
        blade.quadTo(x, y - height * 0.6, tip, y - height)
        blade.quadTo(x + half * 1.6, y - height * 0.5, x + half, y)
        blade.close()
    for tuft, tone_color in zip(tufts, tones, strict=True):
        art.draw(tuft, paint(tone_color))


def flowers(
    art: Canvas, surface: Height, count: int, colors: Sequence[Color], *, size: float = 7, depth: float = 120
) -> None:
    """Five-petalled flowers that grow larger towards the viewer."""
    downs = np.sort(art.rng.random(count))
    for down in downs.tolist():
        x = art.between(0, art.width)
        y, radius = surface(x) + down * depth * art.unit, size * art.unit * (0.45 + down)
        color, turn = art.one_of(colors), art.between(0, 1.2)
        art.pen.drawLine(
            x, y, x + radius * 0.3, y + radius * 3, paint(shade(art.palette.green, -0.05), stroke=radius * 0.22)
        )
        petals = skia.Path()
        for petal in range(5):
            angle = petal / 5 * 2 * math.pi + turn
            petals.addPath(
                oval(
                    x + math.cos(angle) * radius * 0.6, y + math.sin(angle) * radius * 0.48, radius * 0.5, radius * 0.38
                )
            )
        petals.setFillType(skia.PathFillType.kWinding)
        art.draw(petals, paint(color))
        art.pen.drawCircle(x, y, radius * 0.3, paint(POLLEN))


def frame_leaves(art: Canvas) -> None:
    """Dark leaves out of focus in the lower corners: they give depth and lead the eye inwards."""
    for side in (-1, 1):
        for _ in range(15):
            x = (0 if side < 0 else art.width) - side * art.between(-60, 80) * art.unit
            y = art.height - art.between(-60, 150) * art.unit
            length, angle = art.between(120, 240) * art.unit, -math.pi / 2 - side * art.between(-0.1, 0.9)
            tip = (x + math.cos(angle) * length, y + math.sin(angle) * length)
            across = (-math.sin(angle) * length * 0.13, math.cos(angle) * length * 0.13)
            middle = ((x + tip[0]) / 2, (y + tip[1]) / 2)
            leaf = skia.Path()
            leaf.moveTo(x, y)
            leaf.quadTo(middle[0] + across[0], middle[1] + across[1], *tip)
            leaf.quadTo(middle[0] - across[0], middle[1] - across[1], x, y)
            tint = mix(art.palette.near, art.palette.green, art.between(0, 0.35))
            art.draw(leaf, paint(tint, 0.96, blur=art.between(2, 6) * art.unit))
