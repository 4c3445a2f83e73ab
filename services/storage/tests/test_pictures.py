"""Cleaning and shrinking pictures, and the processes it happens in."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from kit.testing import eventually
from storage.pictures import PictureRefusedError, clean, thumbnail
from storage.processes import ProcessDiedError, Processes
from storage.settings import StorageSettings

LIMIT = 50_000_000
MEMORY = 1024**3


def encode(image: Image.Image, image_format: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


class TestClean:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
    def test_every_kind_of_png_becomes_plain_pixels(self, mode: str) -> None:
        picture = clean(encode(Image.new(mode, (12, 8)), "PNG"), LIMIT)

        assert decoded(picture.data).mode in {"RGB", "RGBA"}
        assert (picture.width, picture.height) == (12, 8)

    def test_sixteen_bits_keep_their_brightness(self) -> None:
        picture = clean(encode(Image.new("I;16", (4, 4), 32768), "PNG"), LIMIT)

        assert decoded(picture.data).getpixel((0, 0)) == (128, 128, 128)

    def test_print_colors_become_screen_colors(self) -> None:
        picture = clean(encode(Image.new("CMYK", (8, 8)), "JPEG"), LIMIT)

        assert decoded(picture.data).mode == "RGB"

    def test_transparency_stays(self) -> None:
        image = Image.new("RGBA", (8, 8), (255, 0, 0, 64))

        assert decoded(clean(encode(image, "PNG"), LIMIT).data).getpixel((0, 0)) == (255, 0, 0, 64)
        assert decoded(clean(encode(image, "WEBP"), LIMIT).data).mode == "RGBA"

    def test_a_color_profile_is_applied_and_left_out(self) -> None:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

        picture = clean(encode(Image.new("RGB", (8, 8), "#336699"), "PNG", icc_profile=profile), LIMIT)

        assert "icc_profile" not in decoded(picture.data).info
        assert decoded(picture.data).getpixel((0, 0)) == (0x33, 0x66, 0x99)

    def test_a_broken_color_profile_is_no_reason_to_refuse(self) -> None:
        picture = clean(encode(Image.new("RGB", (8, 8), "#336699"), "PNG", icc_profile=b"garbage"), LIMIT)

        assert decoded(picture.data).getpixel((0, 0)) == (0x33, 0x66, 0x99)

    def test_of_an_animation_the_first_frame_stays(self) -> None:
        frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
        data = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])

        assert getattr(decoded(clean(data, LIMIT).data), "n_frames", 1) == 1

    def test_the_limit_is_exact(self) -> None:
        data = encode(Image.new("RGB", (10, 10)), "PNG")

        assert clean(data, 100).width == 10
        with pytest.raises(PictureRefusedError, match="too_many_pixels"):
            clean(data, 99)

    def test_a_webp_may_have_half_as_many(self) -> None:
        data = encode(Image.new("RGB", (10, 10)), "WEBP")

        assert clean(data, 200).width == 10
        with pytest.raises(PictureRefusedError, match="too_many_pixels"):
            clean(data, 199)


class TestThumbnail:
    @pytest.mark.parametrize(
        ("size", "small"), [((1792, 1024), (480, 274)), ((1024, 1792), (274, 480)), ((100, 50), (100, 50))]
    )
    def test_it_fits_into_the_square_and_is_never_enlarged(self, size, small) -> None:
        made = thumbnail(encode(Image.new("RGB", size), "PNG"), 480, LIMIT)

        assert (made.width, made.height) == small
        assert decoded(made.data).format == "WEBP"

    @pytest.mark.parametrize("mode", ["P", "L", "RGBA", "I;16"])
    def test_every_kind_can_be_shrunk(self, mode: str) -> None:
        assert thumbnail(encode(Image.new(mode, (960, 960)), "PNG"), 480, LIMIT).width == 480


class TestProcesses:
    def test_one_starts_without_the_service(self) -> None:
        """It imports the program's main module, as every spawned process does."""
        look = "import storage.__main__, sys; sys.exit('storage.app' in sys.modules)"

        assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0

    async def test_one_that_dies_hurts_only_its_own_task(self) -> None:
        processes = Processes(1, memory=MEMORY)

        with pytest.raises(ProcessDiedError):
            await processes.run(os._exit, 3)

        assert await processes.run(abs, -1) == 1
        await processes.close()

    async def test_one_that_died_while_it_had_nothing_to_do_is_no_fault_of_the_next_task(self) -> None:
        processes = Processes(1, memory=MEMORY)
        idle = await processes.run(os.getpid)
        os.kill(idle, signal.SIGKILL)
        await eventually(lambda: not Path(f"/proc/{idle}").exists())  # known to be dead, not only dead

        assert await processes.run(abs, -1) == 1
        await processes.close()

    async def test_a_task_that_eats_processor_time_is_ended(self) -> None:
        processes = Processes(1, memory=MEMORY, cpu_seconds=1)

        with pytest.raises(ProcessDiedError):
            await processes.run(sum, range(10**12))

        await processes.close()

    async def test_a_task_that_eats_memory_fails(self) -> None:
        processes = Processes(1, memory=MEMORY)

        with pytest.raises(MemoryError):
            await processes.run(bytes, MEMORY)

        await processes.close()

    @pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
    async def test_a_picture_that_takes_too_much_memory_is_refused_as_such(self, image_format: str) -> None:
        data = encode(Image.new("RGB", (5000, 5000), "teal"), image_format)
        roomy, tight = Processes(1, memory=MEMORY), Processes(1, memory=256 * 1024**2)

        assert (await roomy.run(clean, data, LIMIT)).width == 5000
        with pytest.raises(PictureRefusedError) as caught:
            await tight.run(clean, data, LIMIT)

        assert caught.value.code == "too_complex"
        await roomy.close()
        await tight.close()

    async def test_the_largest_webp_fits(self) -> None:
        processes = Processes(1, memory=StorageSettings.model_fields["picture_memory"].default * 1024**2)
        noise = Image.effect_noise((5000, 5000), 8).convert("RGBA")

        cleaned = await processes.run(clean, encode(noise, "WEBP", quality=40, method=0), LIMIT)

        assert cleaned.width == 5000
        await processes.close()

    async def test_a_task_that_nobody_waits_for_any_more_is_ended_and_frees_its_place(self) -> None:
        processes = Processes(1, memory=MEMORY)
        process_id = await processes.run(os.getpid)
        task = asyncio.create_task(processes.run(sum, range(10**12)))
        await eventually(lambda: _cpu_ticks(process_id) > 50)

        task.cancel()

        async with asyncio.timeout(20):
            assert await processes.run(abs, -1) == 1
        await eventually(lambda: not _runs(process_id))
        await processes.close()

    async def test_errors_come_back_as_they_were(self) -> None:
        processes = Processes(1, memory=MEMORY)

        with pytest.raises(PictureRefusedError) as caught:
            await processes.run(clean, b"nothing", LIMIT)

        assert caught.value.code == "unsupported_picture"
        await processes.close()

    async def test_they_end_with_a_parent_that_was_killed(self, tmp_path: Path) -> None:
        script = tmp_path / "parent.py"
        script.write_text(
            "import asyncio, os\n"
            "from storage.processes import Processes\n"
            "async def main():\n"
            "    print(await Processes(1, memory=2**30).run(os.getpid), flush=True)\n"
            "    await asyncio.Event().wait()\n"
            "if __name__ == '__main__':\n"
            "    asyncio.run(main())\n"
        )
        parent = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=asyncio.subprocess.PIPE)
        assert parent.stdout is not None
        child = int(await parent.stdout.readline())

        parent.kill()
        await parent.wait()

        await eventually(lambda: not _runs(child))


def _cpu_ticks(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[11])


def _runs(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
