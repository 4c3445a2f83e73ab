"""Colours as sRGB triples in 0..1, mixed in OKLab: there equal steps look equal and no blend turns muddy."""

from functools import lru_cache

Color = tuple[float, float, float]

WHITE: Color = (1.0, 1.0, 1.0)
BLACK: Color = (0.0, 0.0, 0.0)


def from_hex(text: str) -> Color:
    digits = text.lstrip("#")
    red, green, blue = (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return red, green, blue


@lru_cache(maxsize=65_536)
def mix(first: Color, second: Color, share: float) -> Color:
    """`share` 0 is the first colour, 1 the second."""
    one, two = _to_oklab(first), _to_oklab(second)
    return _from_oklab((_lerp(one[0], two[0], share), _lerp(one[1], two[1], share), _lerp(one[2], two[2], share)))


@lru_cache(maxsize=65_536)
def shade(color: Color, lightness: float = 0.0, chroma: float = 1.0) -> Color:
    """The same hue, lighter or darker by `lightness` and more or less colourful by the factor `chroma`."""
    light, a, b = _to_oklab(color)
    return _from_oklab((min(max(light + lightness, 0.0), 1.0), a * chroma, b * chroma))


def lightness(color: Color) -> float:
    return _to_oklab(color)[0]


def ramp(colors: list[Color], steps: int) -> list[Color]:
    """A gradient through the given colours in `steps` colours, evenly spaced."""
    spans = len(colors) - 1
    stops = []
    for step in range(steps):
        position = step / (steps - 1) * spans
        span = min(int(position), spans - 1)
        stops.append(mix(colors[span], colors[span + 1], round(position - span, 4)))
    return stops


def _lerp(first: float, second: float, share: float) -> float:
    return first + (second - first) * share


@lru_cache(maxsize=65_536)
def _to_oklab(color: Color) -> Color:
    red, green, blue = (_linear(channel) for channel in color)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def _from_oklab(lab: Color) -> Color:
    light, a, b = lab
    long = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (light - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _gamma(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _gamma(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _gamma(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _gamma(channel: float) -> float:
    channel = min(max(channel, 0.0), 1.0)
    return 12.92 * channel if channel <= 0.0031308 else float(1.055 * channel ** (1 / 2.4) - 0.055)
