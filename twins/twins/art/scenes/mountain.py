"""Mountains over a lake, conifers on its near shore."""

from twins.art.brief import Brief
from twins.art.canvas import Canvas
from twins.art.color import mix
from twins.art.plants import conifer, conifer_line, grass
from twins.art.props import aurora, birds, cabin
from twins.art.sky import mist, rays, sky
from twins.art.terrain import hill, mountains
from twins.art.water import water


def draw(art: Canvas, brief: Brief) -> None:
    palette, width, height = art.palette, art.width, art.height
    side = 1 if art.rng.random() < 0.5 else -1
    art.sun, art.horizon = (width * (0.5 + 0.2 * side), height * 0.3), height * 0.64
    sky(art, clouds=0.2 if brief.names("aurora|northern light|clear") else 0.6, sun_radius=34)
    if brief.names("aurora|northern light"):
        aurora(art)
    stone = mix(palette.sky[0], palette.near, 0.5)
    snow = 0.3 if brief.names(r"snow\w*|winter|ice|icy") else 0.52
    tall = min(height, width * 1.15)
    mountains(art, foot=height * 0.66, height=tall * art.between(0.36, 0.44), fade=0.34, color=stone, snow=snow)
    mist(art, height * 0.64, height * 0.15, 0.75)
    mountains(
        art,
        foot=height * 0.7,
        height=tall * 0.17,
        fade=0.2,
        color=mix(stone, palette.near, 0.4),
        peaks=5,
        snow=snow + 0.35,
    )
    conifer_line(
        art,
        lambda _: height * 0.695,
        int(width / art.unit / 7),
        height * 0.035,
        mix(mix(palette.green, palette.near, 0.5), palette.fog, 0.4),
    )
    mist(art, height * 0.695, height * 0.05, 0.6)
    rays(art, 0.3)
    water(art, height * 0.7, calm=0.72)
    mist(art, height * 0.71, height * 0.05, 0.5)
    birds(art, 7)
    _shore(art, side, brief)


def _shore(art: Canvas, side: int, brief: Brief) -> None:
    palette, width, height = art.palette, art.width, art.height
    ground = mix(palette.green, palette.near, 0.3)
    surface = hill(art, height * 0.91, height * 0.025, ground, phase=1.2 if side > 0 else 4.3)
    if brief.names("cabin|house|hut|cottage"):
        cabin(
            art,
            width * (0.5 + 0.2 * side),
            surface(width * (0.5 + 0.2 * side)) + height * 0.015,
            min(width, height) * 0.14,
        )
    stand = sorted(art.rng.random(22).tolist())
    for nearness in stand:
        edge = art.rng.random() ** 1.3 * (0.16 + 0.12 * nearness)
        x = width * (edge if art.rng.random() < 0.55 else 1 - edge)
        conifer(
            art,
            x,
            surface(x) + height * 0.06 * nearness,
            height * art.between(0.13, 0.2) * (0.8 + 0.7 * nearness),
            mix(palette.green, palette.near, 0.5),
        )
    grass(art, surface, 900, ground, tall=26, depth=110)
