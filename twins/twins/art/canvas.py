"""The drawing surface of one picture: paint, gradients, paths, and the airbrush that gives any path volume.

One light, one palette and one random generator belong to a canvas, so all that is drawn on it agrees.
"""

from collections.abc import Sequence

import numpy as np
import skia
from numpy.typing import NDArray

from twins.art.color import BLACK, WHITE, Color, mix, ramp, shade
from twins.art.noise import Field, Random
from twins.art.palettes import Palette

Point = tuple[float, float]
Pixels = NDArray[np.uint8]
Blend = skia.BlendMode
LINEAR = skia.SamplingOptions(skia.FilterMode.kLinear)


class Canvas:
    def __init__(self, width: int, height: int, palette: Palette, rng: Random) -> None:
        self.width = width
        self.height = height
        self.palette = palette
        self.rng = rng
        # A thousandth of the short side: the measure of things that keep their size in any format.
        self.unit = min(width, height) / 1000
        self.surface = skia.Surface(width, height)
        self.pen = self.surface.getCanvas()
        self.sun: Point = (width * 0.68, height * 0.34)
        self.horizon = height * 0.62
        # Towards the light, for the shading of solid things.
        self.light: Point = (-0.55, -0.75)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def one_of(self, colors: Sequence[Color]) -> Color:
        return colors[int(self.rng.integers(len(colors)))]

    @property
    def sun_side(self) -> int:
        return 1 if self.sun[0] > self.width / 2 else -1

    def fill(self, paint: skia.Paint) -> None:
        self.pen.drawPaint(paint)

    def draw(self, path: skia.Path, paint: skia.Paint) -> None:
        self.pen.drawPath(path, paint)

    def field(
        self, color: Color | Field, alpha: Field, area: skia.Rect | None = None, blend: skia.BlendMode | None = None
    ) -> None:
        """Lays a computed field over the area (the whole picture by default), enlarging it smoothly."""
        image = to_image(color, alpha)
        area = area or skia.Rect.MakeWH(self.width, self.height)
        self.pen.drawImageRect(image, area, LINEAR, paint(WHITE, blend=blend))

    def pixels(self) -> Pixels:
        pixels: Pixels = self.surface.toarray(colorType=skia.kRGBA_8888_ColorType)
        return pixels

    def glow(self, at: Point, radius: float, color: Color, strength: float = 1.0, layers: int = 2) -> None:
        """Light around a point, each layer smaller and so brighter in the middle."""
        for _ in range(layers):
            alphas = [strength, strength * 0.45, strength * 0.14, 0.0]
            light = radial(at, radius, [color] * 4, [0, 0.15, 0.45, 1], alphas)
            self.pen.drawCircle(*at, radius, paint(color, blend=Blend.kScreen, shader=light))
            radius *= 0.45

    def soft(
        self, path: skia.Path, color: Color, *, depth: float = 1.0, rim: float = 0.5, shadow: Color | None = None
    ) -> None:
        """Airbrushed volume for any path: lit towards the light, shaded inside the far edge, rimmed on the near one."""
        bounds = path.getBounds()
        longest, shortest = max(bounds.width(), bounds.height(), 1), min(bounds.width(), bounds.height())
        light_x, light_y = self.light
        light, dark = self.palette.sun, shadow or mix(shade(color, -0.22, 1.1), self.palette.near, 0.35)
        centre = (
            bounds.centerX() + light_x * bounds.width() * 0.35,
            bounds.centerY() + light_y * bounds.height() * 0.35,
        )
        body = radial(
            centre,
            longest * 0.85,
            [mix(color, light, 0.3 * depth), color, mix(color, dark, 0.55 * depth)],
            [0, 0.42, 1],
        )
        offset = shortest * 0.16 * depth
        around = skia.Path()
        around.addRect(bounds.makeOutset(longest * 0.6 + 4, longest * 0.6 + 4))
        around.addPath(path)
        around.setFillType(skia.PathFillType.kEvenOdd)
        with skia.AutoCanvasRestore(self.pen):
            self.pen.clipPath(path, doAntiAlias=True)
            self.pen.drawRect(bounds.makeOutset(2, 2), paint(color, shader=body))
            self._shifted(
                around, light_x * offset, light_y * offset, paint(dark, 0.62 * depth, blur=max(offset * 0.9, 0.6))
            )
            if rim:
                edge = paint(light, 0.55 * rim, blend=Blend.kScreen, blur=max(offset * 0.4, 0.5))
                self._shifted(around, -light_x * offset * 0.35, -light_y * offset * 0.35, edge)

    def _shifted(self, path: skia.Path, dx: float, dy: float, look: skia.Paint) -> None:
        with skia.AutoCanvasRestore(self.pen):
            self.pen.translate(dx, dy)
            self.pen.drawPath(path, look)


def paint(
    color: Color,
    alpha: float = 1.0,
    *,
    blend: skia.BlendMode | None = None,
    blur: float = 0.0,
    shader: skia.Shader | None = None,
    stroke: float = 0.0,
    filters: skia.ImageFilter | None = None,
) -> skia.Paint:
    look = skia.Paint(AntiAlias=True, Dither=True)
    look.setColor4f(skia.Color4f(*color, alpha))
    if shader is not None:
        look.setShader(shader)
    if blend is not None:
        look.setBlendMode(blend)
    if blur > 0:
        look.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
    if stroke > 0:
        look.setStyle(skia.Paint.kStroke_Style)
        look.setStrokeWidth(stroke)
        look.setStrokeCap(skia.Paint.kRound_Cap)
        look.setStrokeJoin(skia.Paint.kRound_Join)
    if filters is not None:
        look.setImageFilter(filters)
    return look


def linear(
    start: Point, end: Point, colors: Sequence[Color], stops: Sequence[float] | None = None,
    alphas: Sequence[float] | None = None,
) -> skia.Shader:  # fmt: skip
    return skia.GradientShader.MakeLinear([start, end], _packed(colors, alphas), list(stops) if stops else None)


def radial(
    centre: Point, radius: float, colors: Sequence[Color], stops: Sequence[float] | None = None,
    alphas: Sequence[float] | None = None,
) -> skia.Shader:  # fmt: skip
    return skia.GradientShader.MakeRadial(
        centre, max(radius, 0.1), _packed(colors, alphas), list(stops) if stops else None
    )


def smooth_linear(start: Point, end: Point, colors: Sequence[Color]) -> skia.Shader:
    """A gradient that is even to the eye: many OKLab steps, where skia itself would mix in sRGB."""
    return linear(start, end, ramp(list(colors), 32))


def polygon(points: Sequence[Point]) -> skia.Path:
    path = skia.Path()
    path.addPoly([skia.Point(*point) for point in points], close=True)
    return path


def blob(points: Sequence[Point], *, closed: bool = True) -> skia.Path:
    """A smooth curve through the points (Catmull-Rom)."""
    count = len(points)
    path = skia.Path()
    path.moveTo(*points[0])
    for at in range(count if closed else count - 1):
        before = points[(at - 1) % count] if closed else points[max(at - 1, 0)]
        after = points[(at + 2) % count] if closed else points[min(at + 2, count - 1)]
        start, end = points[at], points[(at + 1) % count]
        path.cubicTo(
            start[0] + (end[0] - before[0]) / 6, start[1] + (end[1] - before[1]) / 6,
            end[0] - (after[0] - start[0]) / 6, end[1] - (after[1] - start[1]) / 6,
            *end,
        )  # fmt: skip
    if closed:
        path.close()
    return path


def oval(x: float, y: float, radius_x: float, radius_y: float, rotation: float = 0.0) -> skia.Path:
    path = skia.Path()
    path.addOval(skia.Rect(x - radius_x, y - radius_y, x + radius_x, y + radius_y))
    if rotation:
        path.transform(skia.Matrix.RotateDeg(rotation, (x, y)))
    return path


def rounded(left: float, top: float, right: float, bottom: float, radius: float) -> skia.Path:
    path = skia.Path()
    path.addRRect(skia.RRect.MakeRectXY(skia.Rect(left, top, right, bottom), radius, radius))
    return path


def limb(points: Sequence[Point], width: float) -> skia.Path:
    """A thick rounded line as a closed path, so that it can be shaded."""
    outline = skia.Path()
    paint(BLACK, stroke=width).getFillPath(blob(points, closed=False), outline)
    return outline


def to_image(color: Color | Field, alpha: Field | None = None) -> skia.Image:
    """An image of one colour, or of a field of colours, with the given transparency."""
    height, width = (alpha if alpha is not None else np.asarray(color)).shape[:2]
    pixels = np.empty((height, width, 4), np.uint8)
    pixels[..., :3] = np.clip(np.asarray(color, np.float32) * 255 + 0.5, 0, 255)
    pixels[..., 3] = 255 if alpha is None else np.clip(alpha * 255 + 0.5, 0, 255)
    return skia.Image.fromarray(pixels, colorType=skia.kRGBA_8888_ColorType)


def _packed(colors: Sequence[Color], alphas: Sequence[float] | None) -> list[int]:
    alphas = alphas or [1.0] * len(colors)
    return [skia.Color4f(*color, alpha).toColor() for color, alpha in zip(colors, alphas, strict=True)]
