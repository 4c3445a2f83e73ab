"""Animals of the forest: a fox with volume, a deer as a silhouette against the light."""

import skia

from twins.art.canvas import Blend, Canvas, Point, blob, limb, oval, paint, polygon
from twins.art.color import Color, from_hex, mix, shade

FUR, CREAM, SOCK, NOSE = from_hex("d9682b"), from_hex("fbeedd"), from_hex("3a2320"), from_hex("241512")


def fox(art: Canvas, x: float, y: float, size: float) -> None:
    """Sitting, seen from the front, its tail curled around its feet."""

    def at(dx: float, dy: float) -> Point:
        return x + dx * size, y - dy * size

    art.draw(oval(x, y, size * 0.42, size * 0.06), paint(art.palette.near, 0.55, blur=size * 0.04))
    tail = blob(
        [
            at(0.12, 0.1),
            at(0.34, 0.06),
            at(0.52, 0.16),
            at(0.54, 0.36),
            at(0.44, 0.5),
            at(0.4, 0.34),
            at(0.3, 0.26),
            at(0.16, 0.24),
        ]
    )
    art.soft(tail, FUR)
    art.soft(blob([at(0.44, 0.5), at(0.535, 0.4), at(0.5, 0.33), at(0.44, 0.36), at(0.41, 0.4)]), CREAM, rim=0.3)
    body = blob(
        [
            at(0, 0.62),
            at(0.17, 0.48),
            at(0.25, 0.24),
            at(0.23, 0.04),
            at(0.12, 0.0),
            at(-0.12, 0.0),
            at(-0.23, 0.04),
            at(-0.25, 0.24),
            at(-0.17, 0.48),
        ]
    )
    art.soft(body, FUR)
    art.soft(
        blob([at(0, 0.52), at(0.1, 0.42), at(0.09, 0.24), at(0, 0.12), at(-0.09, 0.24), at(-0.1, 0.42)]), CREAM, rim=0.2
    )
    for side in (-1, 1):
        art.soft(
            limb([at(0.085 * side, 0.32), at(0.09 * side, 0.16), at(0.085 * side, 0.03)], size * 0.085),
            shade(FUR, -0.02),
            rim=0.2,
        )
        art.soft(oval(*at(0.088 * side, 0.035), size * 0.06, size * 0.04), SOCK, rim=0.3)
    _fox_head(art, x, y - size * 0.72, size * 0.25)


def _fox_head(art: Canvas, x: float, y: float, size: float) -> None:
    def at(dx: float, dy: float) -> Point:
        return x + dx * size, y + dy * size

    for side in (-1, 1):
        art.soft(polygon([at(0.28 * side, -0.55), at(0.78 * side, -1.28), at(0.92 * side, -0.25)]), FUR)
        art.draw(
            polygon([at(0.46 * side, -0.6), at(0.73 * side, -1.05), at(0.8 * side, -0.42)]),
            paint(SOCK, 0.85, blur=size * 0.03),
        )
    head = blob(
        [
            at(0, -0.72),
            at(0.5, -0.62),
            at(0.92, -0.16),
            at(1.06, 0.28),
            at(0.6, 0.5),
            at(0.2, 0.86),
            at(0, 0.95),
            at(-0.2, 0.86),
            at(-0.6, 0.5),
            at(-1.06, 0.28),
            at(-0.92, -0.16),
            at(-0.5, -0.62),
        ]
    )
    art.soft(head, FUR)
    with skia.AutoCanvasRestore(art.pen):
        art.pen.clipPath(head, doAntiAlias=True)
        for side in (-1, 1):
            cheek = blob(
                [
                    at(0.05 * side, 0.98),
                    at(0.1 * side, 0.38),
                    at(0.5 * side, 0.1),
                    at(1.1 * side, 0.14),
                    at(1.1 * side, 0.6),
                    at(0.5 * side, 0.8),
                ]
            )
            art.draw(cheek, paint(CREAM, 0.96, blur=size * 0.03))
    for side in (-1, 1):
        art.draw(oval(*at(0.4 * side, 0.0), size * 0.125, size * 0.165), paint(NOSE))
        art.draw(oval(*at(0.36 * side, -0.06), size * 0.045, size * 0.055), paint(CREAM))
    art.soft(blob([at(-0.15, 0.7), at(0, 0.66), at(0.15, 0.7), at(0.06, 0.84), at(-0.06, 0.84)]), NOSE, rim=0.5)


def deer(art: Canvas, x: float, y: float, size: float) -> None:
    """A stag standing in the clearing, its edge lit by the sun behind it."""

    def at(dx: float, dy: float) -> Point:
        return x + dx * size, y - dy * size

    dark: Color = mix(art.palette.near, from_hex("5a3a24"), 0.35)
    parts = [
        blob(
            [
                at(-0.3, 0.52),
                at(-0.27, 0.6),
                at(0.0, 0.58),
                at(0.2, 0.64),
                at(0.27, 0.56),
                at(0.2, 0.4),
                at(0.0, 0.38),
                at(-0.22, 0.39),
            ]
        ),
        blob(
            [
                at(0.13, 0.5),
                at(0.2, 0.66),
                at(0.25, 0.88),
                at(0.33, 0.92),
                at(0.35, 0.82),
                at(0.32, 0.62),
                at(0.25, 0.46),
            ]
        ),
        blob(
            [
                at(0.24, 0.9),
                at(0.31, 0.97),
                at(0.42, 0.91),
                at(0.5, 0.83),
                at(0.48, 0.79),
                at(0.38, 0.8),
                at(0.28, 0.82),
            ]
        ),
        blob([at(0.23, 0.94), at(0.15, 1.02), at(0.16, 0.94)]),
        blob([at(-0.3, 0.55), at(-0.35, 0.5), at(-0.33, 0.44), at(-0.29, 0.49)]),
    ]
    for hip, knee, hoof in ((-0.25, -0.29, -0.26), (-0.19, -0.2, -0.2), (0.15, 0.16, 0.14), (0.21, 0.24, 0.23)):
        parts.append(limb([at(hip, 0.44), at(knee, 0.22), at(hoof, 0.0)], size * 0.038))
    for base, bend, tip in ((0.27, 0.13, 0.2), (0.31, 0.45, 0.42)):
        parts.append(limb([at(base, 0.95), at(bend, 1.1), at(tip, 1.34)], size * 0.02))
        for share, reach in ((0.42, 0.11), (0.72, 0.09)):
            root = (base + (bend - base) * share * 1.2, 0.95 + 0.39 * share)
            parts.append(
                limb([at(*root), at(root[0] + reach * (1 if tip > base else -1) * 0.7, root[1] + 0.1)], size * 0.015)
            )
    outline = skia.Path()
    for part in parts:
        outline.addPath(part)
    outline.setFillType(skia.PathFillType.kWinding)
    art.draw(oval(x, y, size * 0.42, size * 0.035), paint(art.palette.near, 0.5, blur=size * 0.03))
    art.draw(outline, paint(art.palette.sun, 0.8, blend=Blend.kScreen, blur=size * 0.016))
    art.draw(outline, paint(dark))


def caravan(art: Canvas, x: float, y: float, size: float, *, count: int) -> None:
    """Camels in a row, small and dark against the dunes, with their long shadows."""
    dark: Color = mix(art.palette.near, from_hex("5a3a24"), 0.35)
    for camel in range(count):
        foot = (x + camel * size * 1.7, y + art.between(-0.06, 0.06) * size)
        art.draw(
            oval(foot[0] - art.sun_side * size * 0.6, foot[1] + size * 0.03, size * 0.9, size * 0.05),
            paint(art.palette.near, 0.3, blur=size * 0.04),
        )
        for part in _camel(foot, size):
            art.draw(part, paint(dark))


def _camel(foot: Point, size: float) -> list[skia.Path]:
    def at(dx: float, dy: float) -> Point:
        return foot[0] + dx * size, foot[1] - dy * size

    body = [
        at(-0.42, 0.55),
        at(-0.34, 0.72),
        at(-0.18, 0.78),
        at(-0.02, 1.04),
        at(0.14, 0.78),
        at(0.32, 0.74),
        at(0.4, 0.6),
        at(0.3, 0.48),
        at(-0.3, 0.46),
    ]
    neck = [at(0.32, 0.62), at(0.52, 0.6), at(0.62, 0.8), at(0.66, 1.0)]
    legs = [
        limb([at(hip, 0.52), at(hip + 0.02, 0.26), at(hip - 0.01, 0.0)], size * 0.065)
        for hip in (-0.34, -0.24, 0.24, 0.34)
    ]
    return [
        blob(body),
        limb(neck, size * 0.11),
        blob([at(0.6, 1.08), at(0.72, 1.06), at(0.86, 0.96), at(0.84, 0.9), at(0.66, 0.94)]),
        *legs,
    ]
