"""Pictures that strangers send, made safe: sniffed, measured before they are decoded, decoded fully, encoded anew.

What comes out holds pixels alone, upright and in sRGB: no EXIF, no GPS, no comments, no trailing bytes. These functions
run in the processes of :mod:`storage.processes`, so this module imports Pillow and nothing else of ours.
"""

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageCms, ImageOps

Image.MAX_IMAGE_PIXELS = None  # the limit of the caller counts, and is checked before anything is decoded

FORMATS = ("JPEG", "PNG", "WEBP")
MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}
ENCODING: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {"compress_level": 4},  # a third of the time of level 6 for 3 % more bytes
    "WEBP": {"quality": 95, "method": 4},
}
THUMBNAIL_ENCODING = {"quality": 80, "method": 4}


class PictureRefusedError(ValueError):
    """The bytes cannot be used as a picture; sending them again cannot help."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)  # both, so that it survives the way back from another process
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class UnsupportedPictureError(PictureRefusedError):
    """The bytes are not of a supported type."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture and what it measures."""

    data: bytes
    media_type: str
    width: int
    height: int


def sniff(data: bytes) -> str | None:
    """The format that the first bytes announce."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return None


def clean(data: bytes, max_pixels: int) -> Picture:
    """The same picture in the same format, encoded anew. Raises PictureRefusedError."""
    image, image_format = _open(data, max_pixels)
    return _encode(_plain(image), image_format, **ENCODING[image_format])


def thumbnail(data: bytes, side: int, max_pixels: int) -> Picture:
    """A WebP that fits into a square of ``side`` pixels. Raises PictureRefusedError."""
    image, _ = _open(data, max_pixels)
    small = _plain(image, side)
    return _encode(small, "WEBP", **THUMBNAIL_ENCODING)


def _open(data: bytes, max_pixels: int) -> tuple[Image.Image, str]:
    """Read the header and measure; nothing is decoded yet."""
    image_format = sniff(data)
    if image_format is None:
        raise UnsupportedPictureError("unsupported_picture", "The content is not a JPEG, PNG or WebP picture.")
    try:
        image = Image.open(io.BytesIO(data), formats=[image_format])
    except Exception as error:
        raise _broken(error) from error
    width, height = image.size
    if image_format == "WEBP":
        max_pixels //= 2  # its codec needs 36 bytes a pixel, twice what the others do
    if width * height > max_pixels:
        raise PictureRefusedError(
            "too_many_pixels",
            f"The picture has {width:,} x {height:,} pixels; a {image_format} may have at most {max_pixels:,}.",
        )
    return image, image_format


def _plain(image: Image.Image, side: int | None = None) -> Image.Image:
    """Decode the first frame, upright and in sRGB, as RGB or RGBA; shrunk into a square of ``side`` if given."""
    try:
        if side is not None:
            image = _shrunk(image, side)
        image.load()
        plain = _srgb(_upright(image))
    except Exception as error:
        raise _broken(error) from error
    plain.info.clear()
    return plain


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    if image.mode in {"1", "P", "PA"}:
        image = image.convert("RGBA")  # palettes cannot be resampled
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return image


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image  # broken EXIF is no reason to refuse the picture


def _srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value / 256).convert("L")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    if not profile or image.mode not in {"RGB", "RGBA", "CMYK"}:
        return image.convert(mode)
    try:
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, target, outputMode=mode) or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert(mode)  # a broken profile is no reason either


def _encode(image: Image.Image, image_format: str, **options: Any) -> Picture:
    if image_format == "JPEG":
        image = image.convert("RGB")
    out = io.BytesIO()
    try:
        image.save(out, image_format, **options)
    except Exception as error:  # it could be decoded, so what was missing is memory, which not every encoder says
        raise _too_complex() from error
    return Picture(out.getvalue(), MEDIA_TYPES[image_format], image.width, image.height)


def _too_complex() -> PictureRefusedError:
    detail = "The picture takes too much memory; send a smaller one or a simpler encoding of it."
    return PictureRefusedError("too_complex", detail)


def _broken(error: Exception) -> PictureRefusedError:
    if isinstance(error, MemoryError):
        return _too_complex()
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return PictureRefusedError("broken_picture", f"The picture cannot be decoded: {reason}.")
