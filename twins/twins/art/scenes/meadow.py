"""A flowering meadow under a wide sky, trees on soft hills, hot-air balloons when asked for."""

from twins.art.brief import Brief
from twins.art.canvas import Canvas
from twins.art.color import WHITE, from_hex, mix, shade
from twins.art.plants import broadleaf, conifer_line, flowers, grass
from twins.art.props import balloon, birds, cabin
from twins.art.sky import mist, rays, sky
from twins.art.terrain import hill, mountains, path_to

SAND, LILAC = from_hex("e8cf9f"), from_hex("b892ff")


def draw(art: Canvas, brief: Brief) -> None:
    palette, width, height = art.palette, art.width, art.height
    side = 1 if art.rng.random() < 0.5 else -1
    art.sun, art.horizon = (width * (0.5 + 0.27 * side), height * 0.22), height * 0.62
    sky(art, clouds=0.75, sun_radius=44)
    mountains(
        art,
        foot=height * 0.64,
        height=min(height, width * 1.15) * 0.15,
        fade=0.6,
        color=mix(palette.sky[1], palette.green, 0.4),
        peaks=4,
    )
    mist(art, height * 0.61, height * 0.12, 0.6)
    for layer, fade in enumerate((0.5, 0.3)):
        surface = hill(art, height * (0.645 + 0.06 * layer), height * 0.03, _ground(art, layer), fade=fade)
        conifer_line(
            art,
            surface,
            34,
            height * (0.03 + 0.012 * layer),
            mix(mix(palette.green, palette.near, 0.35), palette.fog, fade + 0.1),
        )
        for _ in range(6):
            x = art.between(0, width)
            broadleaf(
                art, x, surface(x) + height * 0.008, height * art.between(0.07, 0.11), palette.green, fade=fade * 0.9
            )
        mist(art, height * (0.67 + 0.06 * layer), height * 0.07, 0.35)
    rays(art, 0.25)
    if brief.names("balloon|hot.air"):
        _balloons(art)
    birds(art, 6)
    _foreground(art, side, brief)


def _foreground(art: Canvas, side: int, brief: Brief) -> None:
    palette, width, height = art.palette, art.width, art.height
    surface = hill(art, height * 0.79, height * 0.035, _ground(art, 2), fade=0.06, phase=1.0 if side > 0 else 4.1)
    if brief.names("farm|house|cottage|cabin"):
        cabin(
            art,
            width * (0.5 + 0.22 * side),
            surface(width * (0.5 + 0.22 * side)) + height * 0.01,
            min(width, height) * 0.15,
        )
    for edge, tall in ((0.05, 0.36), (0.17, 0.26), (0.94, 0.2)):
        x = width * (edge if side > 0 else 1 - edge)
        broadleaf(
            art,
            x,
            surface(x) + height * 0.035,
            min(width, height) * tall * art.between(0.9, 1.15),
            shade(palette.green, 0.01),
        )
    grass(art, surface, 1500, _ground(art, 2), tall=34, depth=220)
    path_to(
        art,
        (width * (0.5 + 0.12 * side), surface(width * (0.5 + 0.12 * side)) + 3),
        width * (0.5 - 0.12 * side),
        width * 0.17,
        SAND,
    )
    flowers(
        art,
        lambda x: surface(x) + height * 0.02,
        190,
        [palette.accent, palette.accent2, WHITE, LILAC],
        size=8,
        depth=200,
    )


def _ground(art: Canvas, layer: int) -> tuple[float, float, float]:
    return mix(art.palette.green, art.palette.accent2, (0.16, 0.05, 0.1)[layer])


def _balloons(art: Canvas) -> None:
    palette, cream, blue = art.palette, from_hex("fff3dc"), from_hex("6fc3df")
    size = min(art.width, art.height)
    away = 0.3 if art.sun_side > 0 else 0.7
    balloon(art, art.width * away, art.height * 0.27, size * 0.1, [palette.accent, cream, palette.accent2])
    balloon(art, art.width * (away + 0.2), art.height * 0.16, size * 0.05, [palette.accent2, palette.accent, WHITE])
    balloon(art, art.width * (1.12 - away), art.height * 0.42, size * 0.038, [blue, WHITE, palette.accent])
