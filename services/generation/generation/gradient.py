"""The picture that is made when the model is unavailable (S0-03): a soft mesh gradient, seeded by the prompt.

The colours of one chosen palette lie as overlapping clouds, mixed in OKLab so that mixtures stay clear; the field is
bent by slow waves, darkened towards the corners and finished with a fine grain. The same seed gives the same picture.
"""

import hashlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]

REDUCTION = 4  # the field is smooth, so it is computed small and enlarged
CLOUDS_PER_COLOUR = 2
FLOOR = 1e-3
GRAIN = 0.012
VIGNETTE = 0.08

PALETTES = (
    ("2b1055", "7b2ff7", "f107a3", "ff8a5c", "ffe0b5"),  # dusk
    ("0b3d4f", "128c8a", "5ad1a4", "d7f5b0", "fff6d6"),  # lagoon
    ("1a2a6c", "3f5efb", "7aa5ff", "c5b6ff", "ffd9ec"),  # early morning
    ("5f0f40", "c9184a", "ff758f", "ffb3a7", "fff0e5"),  # rose
    ("14213d", "1f6f78", "e0a458", "f4d58d", "fbf3dc"),  # harbour
    ("3d0c6b", "8338ec", "3a86ff", "4cc9f0", "d9fbff"),  # aurora
    ("7f1d1d", "e85d04", "faa307", "ffd166", "fff3c4"),  # embers
    ("10352b", "2d8a5f", "95d5b2", "f2e8a0", "ffc9a3"),  # meadow
)

# Björn Ottosson, https://bottosson.github.io/posts/oklab/
_LAB_TO_LMS = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def gradient(seed: str, *, size: tuple[int, int]) -> bytes:
    """A PNG. Takes a fraction of a second: call it in a thread."""
    width, height = size
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))
    field = _mesh(random, width // REDUCTION, height // REDUCTION)
    enlarged = np.stack([_enlarge(field[..., channel], size) for channel in range(3)], axis=-1)
    enlarged[..., 0] -= VIGNETTE * _distance(width, height) ** 2
    enlarged[..., 0] += random.normal(0, GRAIN, (height, width)).astype(np.float32)
    buffer = io.BytesIO()
    Image.fromarray(_to_srgb(enlarged)).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _mesh(random: np.random.Generator, width: int, height: int) -> Field:
    """OKLab colours of a field of overlapping clouds; where no cloud reaches, the first colour shows."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    x, y = _bend(random, x * (width / height), y)
    colours = np.tile(_palette(random), (CLOUDS_PER_COLOUR, 1))
    weights = np.full((height, width), FLOOR, np.float32)
    mixed = np.zeros((height, width, 3), np.float32)
    for colour in colours:
        centre_x, centre_y = random.uniform(-0.1, 1.1) * width / height, random.uniform(-0.1, 1.1)
        spread = random.uniform(0.12, 0.34)
        cloud = np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * spread**2)).astype(np.float32)
        weights += cloud
        mixed += cloud[..., None] * colour
    field: Field = (mixed + FLOOR * colours[0]) / weights[..., None]
    return field


def _bend(random: np.random.Generator, x: Field, y: Field) -> tuple[Field, Field]:
    """Let slow waves carry the coordinates, so that no cloud is a plain disc."""
    for _ in range(3):
        strength, pace = random.uniform(0.03, 0.09), random.uniform(3, 7)
        phase_x, phase_y = random.uniform(0, 2 * np.pi, 2)
        x, y = x + strength * np.sin(pace * y + phase_x), y + strength * np.sin(pace * x + phase_y)
    return x.astype(np.float32), y.astype(np.float32)


def _palette(random: np.random.Generator) -> Any:
    """The OKLab colours of one palette, in random order."""
    chosen = PALETTES[random.integers(len(PALETTES))]
    encoded = np.array([list(bytes.fromhex(colour)) for colour in chosen]) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    lms = np.cbrt(linear @ np.linalg.inv(_LMS_TO_RGB).T)
    return random.permutation(lms @ np.linalg.inv(_LAB_TO_LMS).T).astype(np.float32)


def _enlarge(channel: Field, size: tuple[int, int]) -> Field:
    return np.asarray(Image.fromarray(channel).resize(size, Image.Resampling.BICUBIC)).copy()


def _distance(width: int, height: int) -> Field:
    """From the middle: 0 there, 1 in the corners."""
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    distance: Field = np.sqrt((x**2 + y**2) / 2).astype(np.float32)
    return distance


def _to_srgb(lab: Field) -> NDArray[np.uint8]:
    linear = np.clip((lab @ _LAB_TO_LMS.T.astype(np.float32)) ** 3 @ _LMS_TO_RGB.T.astype(np.float32), 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(encoded * 255), np.uint8)
