"""Curated palettes. A picture takes all its colours from one of them, which is what holds it together."""

from dataclasses import dataclass, replace

from twins.art.color import Color, from_hex


@dataclass(frozen=True)
class Palette:
    # Top of the sky to the horizon.
    sky: tuple[Color, Color, Color, Color, Color]
    sun: Color
    # What distance fades into.
    fog: Color
    # The nearly black of the nearest things.
    near: Color
    accent: Color
    accent2: Color
    green: Color
    dark: bool = False

    def with_accent(self, accent: Color) -> "Palette":
        return replace(self, accent=accent)


def _palette(sky: str, *, sun: str, fog: str, near: str, accents: str, green: str, dark: bool = False) -> Palette:
    top, high, middle, low, horizon = (from_hex(color) for color in sky.split())
    accent, accent2 = (from_hex(color) for color in accents.split())
    return Palette(
        sky=(top, high, middle, low, horizon),
        sun=from_hex(sun),
        fog=from_hex(fog),
        near=from_hex(near),
        accent=accent,
        accent2=accent2,
        green=from_hex(green),
        dark=dark,
    )


PALETTES = {
    "sunset": _palette(
        "1e1b4b 6d2e6f d9586a ffa95e ffe0a0",
        sun="fff0c2", fog="f3a57c", near="23153c", accents="ff5d5d ffd166", green="6a7440",
    ),
    "dawn": _palette(
        "3f6fb0 8fb5d9 f3c8c0 ffdcb4 fff1d2",
        sun="fffbe6", fog="e9d3cf", near="26485a", accents="ef7674 ffd479", green="3f7a63",
    ),
    "day": _palette(
        "2273c9 54a8e8 a3d8f4 d9f0f6 fdf6e2",
        sun="fffdf0", fog="cfe7ef", near="1c5245", accents="ff6b57 ffc94d", green="4c9f58",
    ),
    "night": _palette(
        "060920 0f1845 213479 4559a8 8791d4",
        sun="fdf6d8", fog="5362ab", near="070a22", accents="ffb454 7de2ff", green="2a6268", dark=True,
    ),
    "neon": _palette(
        "080316 1c0738 4a0f63 a01f7d ff5fa2",
        sun="ffd9f0", fog="7a2a8f", near="0a0418", accents="20e3ff ff3d9a", green="2c1a5c", dark=True,
    ),
    "pastel": _palette(
        "9ad4f5 c5e4fb f9dfe9 ffe9d1 fff6e3",
        sun="fffaf0", fog="f4dfe6", near="5b6a9a", accents="ff8fa3 ffd97d", green="7cc29a",
    ),
    "forest": _palette(
        "1f5054 4a8f7c a5cc96 e6ecb2 fdf7cf",
        sun="fffbdc", fog="c6dca6", near="0d2a2b", accents="ff8552 ffe08a", green="2f7a4f",
    ),
    "autumn": _palette(
        "4d6f8f 94aeb6 e8cda2 f7c880 fde7b5",
        sun="fff4d4", fog="e6c9a0", near="3a2118", accents="d9482b f2a51f", green="a8722a",
    ),
    "winter": _palette(
        "4b78ad 86afd6 bdd7ec e4edf5 fdf3ea",
        sun="fff8ec", fog="d8e6f1", near="22405c", accents="e5566d f6c667", green="47707c",
    ),
    "lagoon": _palette(
        "0b5c8f 1c8fb8 6cc7d3 bfe9dd fbf3d3",
        sun="fffbe2", fog="b6e2dc", near="083b4c", accents="ff7a59 ffd35c", green="2e8b6f",
    ),
    "desert": _palette(
        "35538c 7f8fb8 e0b49c f6c48d fde3b8",
        sun="fff3cf", fog="eec49b", near="5a2b22", accents="d9573b f4b24a", green="b5804a",
    ),
    "aurora": _palette(
        "050a1f 0b1f3f 124a5e 2b8577 9fe0b0",
        sun="e9fff0", fog="2d6a74", near="040c1a", accents="5dffb0 b58cff", green="1f5a58", dark=True,
    ),
}  # fmt: skip

COLOR_WORDS = {
    "red": from_hex("e5383b"), "crimson": from_hex("c1121f"), "orange": from_hex("ff8c32"), "gold": from_hex("e6b12e"),
    "golden": from_hex("e6b12e"), "yellow": from_hex("ffd23f"), "green": from_hex("3fae6a"),
    "emerald": from_hex("10a36b"), "teal": from_hex("1aa6a0"), "turquoise": from_hex("2fc9c0"),
    "blue": from_hex("3576e0"), "navy": from_hex("2b4c9b"), "indigo": from_hex("5a4fcf"), "purple": from_hex("8e4ec6"),
    "violet": from_hex("9b5de5"), "pink": from_hex("ff6fa8"), "magenta": from_hex("e0409a"), "rose": from_hex("f07a92"),
}  # fmt: skip
