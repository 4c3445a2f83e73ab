"""What counts as a picture, and the picture that is made locally."""

import io
import zlib

import pytest
from PIL import Image

from generation.errors import Again, ProviderError
from generation.gradient import gradient
from generation.pictures import check


def image(size: tuple[int, int], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, kind)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG whose header promises 60,000 x 60,000 pixels."""
    header = (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    chunk = b"IHDR" + header
    crc = zlib.crc32(chunk).to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + len(header).to_bytes(4, "big") + chunk + crc + image((8, 8))[33:]


def short_profile() -> bytes:
    """A PNG with a colour profile of no bytes behind its pixels."""
    chunk = b"iCCP"
    return image((64, 32))[:-12] + bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4, "big") + image((64, 32))[-12:]


class TestCheck:
    def test_a_whole_png_of_the_right_size_is_kept_as_it_is(self) -> None:
        data = image((64, 32))
        picture = check(data, size=(64, 32))

        assert (picture.data, picture.width, picture.height) == (data, 64, 32)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"<html>",
            image((64, 32))[:-30],
            image((64, 32), "JPEG"),
            image((32, 64)),
            bomb(),
            short_profile(),
            image((64, 32)) + bytes(2 * 1024 * 1024),
        ],
        ids=["empty", "html", "cut off", "another format", "another size", "bomb", "short profile", "padded"],
    )
    def test_anything_else_is_an_unusable_answer_that_may_be_asked_for_again(self, data: bytes) -> None:
        with pytest.raises(ProviderError) as raised:
            check(data, size=(64, 32))
        assert raised.value.again is Again.COUNTED


class TestGradient:
    @pytest.mark.parametrize("size", [(1024, 1024), (1792, 1024), (1024, 1792)])
    def test_it_is_a_picture_of_the_size_that_was_asked_for(self, size: tuple[int, int]) -> None:
        assert check(gradient("a lamp", size=size), size=size).width == size[0]

    def test_the_seed_decides(self) -> None:
        first = gradient("a lamp", size=(256, 256))

        assert first == gradient("a lamp", size=(256, 256))
        assert first != gradient("a chair", size=(256, 256))

    def test_it_has_colour_and_no_bands(self) -> None:
        pixels = Image.open(io.BytesIO(gradient("a lamp", size=(512, 512)))).convert("RGB")
        colours = pixels.getcolors(512 * 512)

        assert colours is not None
        assert len(colours) > 10_000
