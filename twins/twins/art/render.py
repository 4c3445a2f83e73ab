"""From a spec to encoded bytes: read the prompt, draw its scene, finish it. Runs in a worker process."""

from collections.abc import Callable
from math import ceil

import numpy as np
from PIL import Image

from twins.art import finish
from twins.art.brief import Brief, read
from twins.art.canvas import Canvas
from twins.art.painterly import paint_over
from twins.art.scenes import castle, city, concert, desert, forest, meadow, mountain, ocean, product, ribbons, space
from twins.art.spec import PictureSpec

SCENES: dict[str, Callable[[Canvas, Brief], None]] = {
    "castle": castle.draw,
    "city": city.draw,
    "concert": concert.draw,
    "desert": desert.draw,
    "forest": forest.draw,
    "meadow": meadow.draw,
    "mountain": mountain.draw,
    "ocean": ocean.draw,
    "product": product.draw,
    "ribbons": ribbons.draw,
    "space": space.draw,
}


# A scene needs room for its parts: smaller pictures are drawn larger and scaled down.
SMALLEST_SIDE = 256


def render(spec: PictureSpec) -> bytes:
    brief = read(spec.prompt, spec.seed)
    scale = ceil(SMALLEST_SIDE / min(spec.width, spec.height, SMALLEST_SIDE))
    art = Canvas(spec.width * scale, spec.height * scale, brief.palette, np.random.default_rng(spec.seed))
    SCENES[brief.scene](art, brief)
    finish.bloom(art, 0.45 if brief.palette.dark else 0.32)
    if brief.finish == "painted":
        paint_over(art)
    finish.vignette(art, 0.18 if brief.scene == "product" else 0.36)
    picture = finish.develop(art)
    if scale > 1:
        picture = picture.resize((spec.width, spec.height), Image.Resampling.LANCZOS)
    return finish.encode(picture, spec)
