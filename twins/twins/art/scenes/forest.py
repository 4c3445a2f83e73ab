"""Deep in a forest: trunks fading into lit mist, a path, grass and flowers, a frame of dark leaves."""

import skia

from twins.art.brief import Brief
from twins.art.canvas import Canvas, blob, linear, paint
from twins.art.color import WHITE, Color, from_hex, mix, shade
from twins.art.plants import conifer, flowers, frame_leaves, grass
from twins.art.props import fireflies, mushroom
from twins.art.sky import mist, rays, sky
from twins.art.terrain import hill, path_to
from twins.art.wildlife import deer, fox

EARTH, BARK, SNOW = from_hex("a8814f"), from_hex("4a3428"), from_hex("eef4fa")
LAYERS = 5


def draw(art: Canvas, brief: Brief) -> None:
    palette, width, height = art.palette, art.width, art.height
    art.sun, art.horizon = (width * art.between(0.4, 0.6), height * 0.3), height * 0.7
    sky(art, clouds=0.15, sun_radius=30)
    snowy = brief.names(r"snow\w*|winter")
    leaves = _leaves(art, snowy=snowy, autumn=brief.names(r"autumn\w*|fall|october"))
    for layer in range(LAYERS):
        _stand(art, layer, leaves, snowy=snowy)
        if layer == 1:
            rays(art, 0.7)
    far = (width * 0.52, height * 0.8)
    path_to(art, far, width * 0.5, width * 0.3, mix(EARTH, SNOW, 0.75) if snowy else mix(EARTH, palette.sun, 0.25))
    ground = mix(SNOW, palette.fog, 0.2) if snowy else mix(palette.green, palette.near, 0.12)
    grass(art, lambda _: height * 0.87, 1100, ground, tall=40, depth=150)
    if not snowy:
        flowers(art, lambda _: height * 0.9, 60, [palette.accent, palette.accent2, WHITE], depth=100)
    _subjects(art, brief)
    rays(art, 0.45)
    if palette.dark or brief.names(r"firefl\w+|magic\w*|enchanted|fairy"):
        fireflies(art, 34, height * 0.45, height * 0.95)
    _near_trunks(art)
    frame_leaves(art)


def _leaves(art: Canvas, *, snowy: bool, autumn: bool) -> list[Color]:
    """The colours that trees of this forest have."""
    palette = art.palette
    if snowy:
        return [mix(palette.green, SNOW, 0.35), mix(palette.green, SNOW, 0.5)]
    if autumn:
        return [
            palette.green,
            palette.accent,
            palette.accent2,
            mix(palette.accent, palette.near, 0.35),
            mix(palette.accent, palette.accent2, 0.5),
        ]
    return [palette.green, shade(palette.green, -0.03), mix(palette.green, palette.accent2, 0.12)]


def _stand(art: Canvas, layer: int, leaves: list[Color], *, snowy: bool) -> None:
    """One depth of the forest: trees, the ground they stand on, and the mist in front of them."""
    palette, width, height = art.palette, art.width, art.height
    nearness = layer / (LAYERS - 1)
    fade = 0.82 * (1 - nearness) ** 1.25
    base = height * (0.57 + 0.08 * layer)
    tall = height * (0.3 + 0.11 * layer)
    darkness, trees = 0.12 + 0.4 * nearness, int(26 / (1 + layer * 0.7) * max(width / height, 0.8))
    for tree in range(trees):
        x = (tree + art.between(0.1, 0.9)) / trees * width * 1.1 - width * 0.05
        # A clearing stays open in front, where the path and the subject are.
        if layer >= LAYERS - 2 and abs(x - width / 2) < width * (0.16 + 0.1 * nearness):
            continue
        tint = mix(art.one_of(leaves), palette.near, darkness)
        conifer(art, x, base + art.between(-6, 16) * art.unit, tall * art.between(0.65, 1.1), tint, fade=fade)
    ground = mix(SNOW, palette.fog, 0.15) if snowy else mix(palette.green, palette.near, 0.08 + 0.1 * layer)
    hill(art, base, (8 + 3 * layer) * art.unit, ground, fade=fade * 0.9)
    if layer < LAYERS - 1:
        mist(art, base, height * 0.2, 0.75 - 0.1 * layer)


def _near_trunks(art: Canvas) -> None:
    """Two large trunks close to the viewer, almost dark, at the edges of the picture."""
    width, height = art.width, art.height
    dark = mix(BARK, art.palette.near, 0.72)
    for side in (-1, 1):
        middle = width * (0.5 + side * art.between(0.465, 0.5))
        thick = min(width, height) * art.between(0.05, 0.075)
        trunk = blob(
            [
                (middle - thick * 1.5, height + 20), (middle - thick * 0.9, height * 0.86),
                (middle - thick * 0.7, height * 0.4),
                (middle - thick * 0.62, -30), (middle + thick * 0.62, -30), (middle + thick * 0.7, height * 0.4),
                (middle + thick * 0.9, height * 0.86), (middle + thick * 1.5, height + 20),
            ]
        )  # fmt: skip
        lit: Color = mix(dark, art.palette.sun, 0.22)
        look = linear(
            (middle + side * thick, 0), (middle - side * thick, 0), [shade(dark, -0.04), dark, lit], [0, 0.7, 1]
        )
        art.draw(trunk, paint(dark, shader=look, blur=2.5 * art.unit))
        with skia.AutoCanvasRestore(art.pen):
            art.pen.clipPath(trunk, doAntiAlias=True)
            for _ in range(16):
                x = middle + art.between(-0.8, 0.8) * thick
                line = blob(
                    [
                        (x, height * (step / 5 - 0.02))
                        if step % 2
                        else (x + art.between(-8, 8) * art.unit, height * step / 5)
                        for step in range(6)
                    ],
                    closed=False,
                )
                art.draw(line, paint(shade(dark, -0.08), 0.5, stroke=art.between(1.5, 5) * art.unit))


def _subjects(art: Canvas, brief: Brief) -> None:
    middle, ground, size = art.width * 0.5, art.height * 0.915, min(art.width, art.height)
    if brief.names("fox"):
        fox(art, middle, ground, size * 0.24)
    elif brief.names("deer|stag|elk|moose|reindeer"):
        deer(art, middle, ground - art.height * 0.03, size * 0.3)
    if brief.names("mushroom|toadstool"):
        for x, tall in ((0.3, 0.13), (0.36, 0.08), (0.68, 0.1)):
            mushroom(art, art.width * x, ground + art.height * 0.02, size * tall)
