"""Skies: gradient, stars, sun or moon, clouds lit from where the sun stands, rays, and bands of mist."""

import numpy as np
import skia
from PIL import Image

from twins.art.canvas import LINEAR, Blend, Canvas, oval, paint, radial, smooth_linear
from twins.art.color import WHITE, Color, mix, shade
from twins.art.noise import Field, fbm, smoothstep


def sky(art: Canvas, *, clouds: float = 0.5, sun_radius: float = 46, stars: int | None = None) -> None:
    """`clouds` 0 is clear and 1 mostly covered; without `stars` there are some in dark palettes only."""
    palette = art.palette
    art.fill(paint(WHITE, shader=smooth_linear((0, 0), (0, art.horizon * 1.03), palette.sky)))
    _stars(art, stars if stars is not None else 260 if palette.dark else 0)
    art.glow(art.sun, max(art.width, art.height) * 0.75, palette.sun, 0.45 if palette.dark else 0.7, 3)
    if palette.dark:
        _moon(art, sun_radius * art.unit)
    else:
        art.draw(oval(*art.sun, sun_radius * art.unit, sun_radius * art.unit), paint(palette.sun, blur=1.5 * art.unit))
    if clouds:
        _clouds(art, clouds)


def _stars(art: Canvas, count: int) -> None:
    tints = [WHITE, mix(WHITE, art.palette.accent2, 0.35), mix(WHITE, art.palette.sun, 0.5)]
    for _ in range(count):
        x, y = art.between(0, art.width), art.between(0, art.horizon * 0.9)
        radius = abs(float(art.rng.normal(0, 0.85))) * art.unit + 0.35
        fading = max(1 - y / art.horizon, 0.05) ** 0.6
        art.pen.drawCircle(x, y, radius, paint(art.one_of(tints), art.between(0.3, 1) * fading))
        if radius > 2 * art.unit:
            art.glow((x, y), radius * 8, (0.75, 0.85, 1.0), 0.5 * fading, 1)


def _moon(art: Canvas, radius: float) -> None:
    x, y = art.sun
    disc, face = oval(x, y, radius, radius), art.palette.sun
    art.draw(
        disc,
        paint(
            face, shader=radial((x - radius * 0.3, y - radius * 0.3), radius * 1.5, [WHITE, face, shade(face, -0.1)])
        ),
    )
    with skia.AutoCanvasRestore(art.pen):
        art.pen.clipPath(disc, doAntiAlias=True)
        for _ in range(7):
            spot = art.between(0.1, 0.34) * radius
            at_x, at_y = x + art.between(-0.7, 0.7) * radius, y + art.between(-0.7, 0.7) * radius
            art.draw(oval(at_x, at_y, spot, spot * 0.85), paint(shade(face, -0.16), 0.28, blur=spot * 0.3))


def _clouds(art: Canvas, cover: float) -> None:
    """Light comes from comparing the field with itself a little nearer to the sun: thinner there means lit here."""
    palette, width = art.palette, art.width // 2
    height = int(art.horizon / 2)
    pad = int(26 * art.unit) + 2
    dense = fbm(art.rng, width + 2 * pad, height + 2 * pad, base=4, octaves=6, gain=0.52, stretch=2.4)
    # Rows run together towards the horizon, as clouds do with distance.
    rows = (height * (1 - (1 - np.linspace(0, 1, height)) ** 1.6)).astype(int).clip(0, height - 1)
    here = dense[pad : pad + height, pad : pad + width][rows]
    over, along = int(-12 * art.unit), int(16 * art.unit) * art.sun_side
    nearer = dense[pad + over : pad + over + height, pad + along : pad + along + width][rows]
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    threshold = 0.66 - 0.2 * cover
    covering = (
        smoothstep(threshold, threshold + 0.2, here) * np.clip((1 - down) * 5, 0, 1) * np.clip(down * 4 + 0.25, 0, 1)
    )
    lit = np.clip(0.52 + (here - nearer) * 7, 0, 1)[..., None]
    bright = np.array(mix(palette.sun, WHITE, 0.3), np.float32)
    dim = np.array(mix(palette.sky[1], palette.fog, 0.5), np.float32)
    strength = 0.55 if palette.dark else 0.9
    art.field(dim + (bright - dim) * lit, covering * strength, skia.Rect.MakeWH(art.width, art.horizon))


def mist(art: Canvas, y: float, thickness: float, strength: float = 0.6, color: Color | None = None) -> None:
    """A band of fog with holes in it, between one layer of land and the next."""
    width, height = art.width // 4, max(8, int(thickness / 4))
    density = fbm(art.rng, width, height, base=3, octaves=4, gain=0.5, stretch=3)
    band = np.sin(np.linspace(0, np.pi, height, dtype=np.float32))[:, None]
    area = skia.Rect(0, y - thickness / 2, art.width, y + thickness / 2)
    art.field(color or art.palette.fog, np.clip(density * 1.5 - 0.2, 0, 1) * band * strength, area)


def rays(art: Canvas, strength: float = 0.5) -> None:
    """God rays: what is bright around the sun, smeared away from it by zooming in ever larger steps."""
    scale = 4
    width, height = art.width // scale, art.height // scale
    small = art.surface.makeImageSnapshot().resize(width, height, options=LINEAR)
    bright = small.toarray(colorType=skia.kRGBA_8888_ColorType)[..., :3].astype(np.float32).mean(axis=2) / 255
    sun_x, sun_y = art.sun[0] / scale, art.sun[1] / scale
    rows, columns = (axis.astype(np.float32) for axis in np.mgrid[0:height, 0:width])
    away = np.hypot(columns - sun_x, rows - sun_y) / max(width, height)
    spill = np.clip((bright - 0.62) * 3, 0, 1) * np.clip(1 - away * 1.7, 0, 1)
    light: Field = (spill * 255).astype(np.float32)
    for step in range(6):
        zoom = 1 + 0.035 * 2**step
        matrix = (1 / zoom, 0, sun_x * (1 - 1 / zoom), 0, 1 / zoom, sun_y * (1 - 1 / zoom))
        smeared = Image.fromarray(light).transform(
            (width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
        light = (light + np.asarray(smeared, np.float32)) * np.float32(0.5)
    below = np.clip((rows - sun_y) / (height * 0.25) + 0.55, 0.12, 1).astype(np.float32)
    art.field(art.palette.sun, light * below / 255 * strength, blend=Blend.kScreen)
