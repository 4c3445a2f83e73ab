"""Land: mountains with lit and shaded faces and snow that follows them, rolling hills, and paths."""

from collections.abc import Callable

import numpy as np
import skia

from twins.art.canvas import LINEAR, Canvas, blob, linear, paint, polygon, radial, to_image
from twins.art.color import WHITE, Color, mix, shade
from twins.art.noise import Field, profile, ridged, smoothstep, tile

Height = Callable[[float], float]


def mountains(
    art: Canvas, *, foot: float, height: float, fade: float, color: Color, peaks: int = 3, snow: float = 1.1
) -> None:
    """A range whose foot stands at `foot`. `fade` is how far it sinks into the air; snow lies above `snow` (0..1)."""
    columns, scale = art.width // 2, 2
    ridge = _ridge_line(art, columns, peaks)
    crest = foot - height * ridge
    edge = [(float(x * scale), float(y)) for x, y in enumerate(crest)]
    outline = polygon(
        [
            (-4, art.height + 4.0),
            (-4, edge[0][1]),
            *edge,
            (art.width + 4.0, edge[-1][1]),
            (art.width + 4.0, art.height + 4.0),
        ]
    )
    top = float(crest.min())
    rows = max(int((foot - top) / scale) + 2, 4)
    body = _faces(art, ridge, rows, height / scale, fade=fade, color=color, snow=snow)
    with skia.AutoCanvasRestore(art.pen):
        art.pen.clipPath(outline, doAntiAlias=True)
        base = mix(mix(color, art.palette.fog, fade), art.palette.fog, 0.62)
        art.pen.drawRect(skia.Rect(0, foot - 2, art.width, art.height), paint(base))
        art.pen.drawImageRect(to_image(body), skia.Rect(0, top, art.width, top + rows * scale), LINEAR)


def _ridge_line(art: Canvas, columns: int, peaks: int) -> Field:
    broad = 1 - np.abs(profile(art.rng, columns, base=peaks, octaves=2, gain=0.45))
    fine = profile(art.rng, columns, base=peaks * 5, octaves=5, gain=0.55)
    line = 0.8 * broad**1.1 + 0.16 * fine
    line -= line.min()
    ridge: Field = (line / line.max()).astype(np.float32)
    return ridge


def _faces(art: Canvas, ridge: Field, rows: int, height: float, *, fade: float, color: Color, snow: float) -> Field:
    """Colours of the range's body. Noise is read along lines that run down from the crest, so faces look carved."""
    palette, columns, side = art.palette, ridge.size, art.sun_side
    rock = ridged(tile(art.rng, 256, base=8, octaves=5, gain=0.55))
    y = np.arange(rows, dtype=np.float32)[:, None]
    x = np.arange(columns, dtype=np.float32)[None]
    depth = y - (1 - ridge[None]) * height
    altitude = 1 - y / height
    wander = (rock[(y * 0.6).astype(int) % 256, (x * 0.6).astype(int) % 256] - 0.5) * 16 * art.unit
    lean = x + depth * 0.55 * side + wander
    u, v = (lean * 0.8 / art.unit).astype(int), (depth * 0.28 / art.unit).astype(int)
    carved = rock[v % 256, u % 256]
    sunward = rock[v % 256, (u + 7 * side) % 256]
    slope = np.gradient(_blurred(ridge))[np.clip(lean, 0, columns - 1).astype(int)] * height * -side
    light = np.clip(0.42 + (carved - sunward) * 1.7 + np.clip(slope * 0.3, -0.4, 0.4), 0, 1)[..., None]
    shadow_rock, lit_rock = shade(color, -0.09), mix(color, palette.sun, 0.5)
    shadow_snow, lit_snow = mix(mix(palette.sky[1], color, 0.25), WHITE, 0.36), mix(palette.sun, WHITE, 0.6)
    stone = _between(shadow_rock, lit_rock, light)
    cover = smoothstep(-0.06, 0.06, altitude - snow + (carved - 0.5) * 0.42 + (ridge[None] - 0.6) * 0.2)[..., None]
    body = stone + (_between(shadow_snow, lit_snow, light) - stone) * cover
    air = np.clip(fade + (1 - altitude[..., None]) ** 2 * 0.62 * (1 - fade), 0, 1)
    faded: Field = body + (np.array(palette.fog, np.float32) - body) * air
    return faded


def hill(art: Canvas, y: float, swell: float, color: Color, *, fade: float = 0.0, phase: float | None = None) -> Height:
    """A rolling hill; answers where its surface is, so that things can stand on it."""
    phase = art.between(0, 6) if phase is None else phase
    width = art.width

    def surface(x: float) -> float:
        return float(y - swell * np.sin(x / width * 3.3 + phase) - swell * 0.3 * np.sin(x / width * 8 + phase * 2))

    xs = np.linspace(-20, width + 20, 16).tolist()
    outline = blob([(x, surface(x)) for x in xs], closed=False)
    outline.lineTo(width + 20, art.height + 20)
    outline.lineTo(-20, art.height + 20)
    outline.close()
    color = mix(color, art.palette.fog, fade)
    light = radial(
        (art.sun[0], y - swell), width * 0.95,
        [mix(color, art.palette.sun, 0.42), color, shade(color, -0.1)], [0, 0.42, 1],
    )  # fmt: skip
    art.draw(outline, paint(color, shader=light))
    return surface


def path_to(art: Canvas, far: tuple[float, float], near_x: float, near_width: float, color: Color) -> None:
    """A winding path from a far point to the lower edge."""
    (x, y), bottom = far, art.height + 6.0
    drop = bottom - y
    bend = near_width * 0.55
    outline = skia.Path()
    outline.moveTo(x - near_width * 0.03, y)
    outline.cubicTo(
        x + bend, y + drop * 0.3, near_x - near_width * 1.1, y + drop * 0.45, near_x - near_width / 2, bottom
    )
    outline.lineTo(near_x + near_width / 2, bottom)
    outline.cubicTo(near_x - near_width * 0.1, y + drop * 0.5, x + bend * 1.5, y + drop * 0.3, x + near_width * 0.03, y)
    outline.close()
    colors = [mix(color, art.palette.fog, 0.45), color, mix(color, art.palette.near, 0.3)]
    art.draw(outline, paint(color, shader=linear((0, y), (0, bottom), colors), blur=2.5 * art.unit))


def _blurred(line: Field) -> Field:
    window = max(line.size // 90, 3)
    padded = np.pad(line, window // 2, mode="edge")
    mean = np.convolve(padded, np.ones(window, np.float32) / window, mode="same").astype(np.float32)
    return mean[window // 2 : window // 2 + line.size]


def _between(dark: Color, bright: Color, share: Field) -> Field:
    low, high = np.array(dark, np.float32), np.array(bright, np.float32)
    mixed: Field = low + (high - low) * share
    return mixed
