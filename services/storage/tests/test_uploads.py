"""Uploads: what is kept are the pixels; whatever else a stranger sends is refused or left out."""

import asyncio
import io
import struct
import time
import zipfile
import zlib
from datetime import UTC, datetime, timedelta

import httpx2
import jwt.api_jwt
import pytest
from PIL import Image

from kit import identity
from kit.blobs import Blobs
from kit.testing import client, emitted, eventually
from shared.events import AssetStored
from shared.ids import new_id
from storage import forms

ACCOUNT = new_id("acc")


def encode(image: Image.Image, image_format: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def gps_jpeg() -> bytes:
    """A photograph that lies on its side and tells where it was taken."""
    image = Image.new("RGB", (60, 40), "#204060")
    image.paste("#e0c040", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    exif[0x010E] = "SECRET-DESCRIPTION"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    return encode(image, "JPEG", exif=exif, comment=b"SECRET-COMMENT")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def zipped(data: bytes) -> bytes:
    """A polyglot: a picture for viewers, an archive for unzip."""
    out = io.BytesIO(data)
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("evil.html", "<script>SECRET-SCRIPT</script>")
    return out.getvalue()


@pytest.fixture
def upload(storage):
    async def upload(data: bytes, *, key: str | None = None, name: str = "picture.png", account_id: str = ACCOUNT):
        headers = {"Idempotency-Key": key} if key else {}
        async with client(storage, account_id=account_id) as http:
            return await http.post("/v1/uploads", files={"file": (name, data)}, headers=headers)

    return upload


class SlowUpload:
    """An upload whose second half comes when it is let go."""

    def __init__(self, data: bytes) -> None:
        form = httpx2.Request("POST", "http://service.test", files={"file": ("picture.png", data)})
        self._body, self._media_type = form.read(), form.headers["Content-Type"]
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def _halves(self):
        self.asked.set()
        half = len(self._body) // 2
        yield self._body[:half]
        await self.go.wait()
        yield self._body[half:]

    async def send(self, storage, account_id: str = ACCOUNT) -> httpx2.Response:
        async with client(storage, account_id=account_id) as http:
            return await http.post("/v1/uploads", content=self._halves(), headers={"Content-Type": self._media_type})


async def fetch(asset: dict) -> bytes:
    async with httpx2.AsyncClient() as browser:
        return (await browser.get(asset["url"])).content


class TestKeep:
    @pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
    async def test_a_picture_is_kept_in_its_format(self, storage, upload, image_format) -> None:
        answer = await upload(encode(Image.new("RGB", (30, 20), "#336699"), image_format), name="evil.html")

        asset = answer.json()
        kept = Image.open(io.BytesIO(await fetch(asset)))
        assert answer.status_code == 201
        assert answer.headers["location"] == f"/v1/assets/{asset['id']}"
        assert (asset["source"], asset["state"], asset["job_id"]) == ("uploaded", "stored", None)
        assert asset["media_type"] == f"image/{image_format.lower()}"
        assert (kept.format, kept.size) == (image_format, (30, 20))
        (event,) = await emitted(storage.db)
        assert isinstance(event, AssetStored)
        assert (event.asset_id, event.source, event.job_id) == (asset["id"], "uploaded", None)

    async def test_the_place_and_the_comment_are_removed_and_it_stands_upright(self, upload) -> None:
        data = gps_jpeg()
        assert b"SECRET-DESCRIPTION" in data

        asset = (await upload(data)).json()
        kept = await fetch(asset)

        image = Image.open(io.BytesIO(kept))
        assert b"SECRET" not in kept
        assert not image.getexif()
        assert (asset["width"], asset["height"]) == image.size == (40, 60)
        assert image.getpixel((35, 5))[0] > 180  # the yellow corner has moved to the right

    async def test_what_hangs_on_a_picture_is_cut_off(self, upload, png) -> None:
        data = zipped(png(20, 20))
        assert zipfile.is_zipfile(io.BytesIO(data))

        kept = await fetch((await upload(data)).json())

        assert not zipfile.is_zipfile(io.BytesIO(kept))
        assert b"evil" not in kept

    async def test_a_thumbnail_is_made_afterwards(self, storage, upload, png, working, rows, blobs) -> None:
        async with working(storage):
            await upload(png(1200, 800))
            (made,) = await eventually(lambda: rows("SELECT object_key FROM derivatives WHERE state = 'done'"))

        assert Image.open(io.BytesIO(await blobs.get(made["object_key"]))).size == (480, 320)


class TestRefuse:
    @pytest.mark.parametrize(
        ("data", "status", "code"),
        [
            pytest.param(b"", 415, "unsupported_picture", id="empty"),
            pytest.param(b"<html><script>alert(1)</script></html>", 415, "unsupported_picture", id="html"),
            pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_picture", id="svg"),
            pytest.param(b"GIF89a" + bytes(100), 415, "unsupported_picture", id="gif"),
            pytest.param(b"%PDF-1.7", 415, "unsupported_picture", id="pdf"),
            pytest.param(encode(Image.new("RGB", (9, 9)), "BMP"), 415, "unsupported_picture", id="bmp"),
            pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(50), 422, "broken_picture", id="only a signature"),
            pytest.param(b"\xff\xd8\xff\xe0" + bytes(50), 422, "broken_picture", id="only a JPEG marker"),
            pytest.param(b"RIFF\x20\x00\x00\x00WEBPVP8 " + bytes(20), 422, "broken_picture", id="broken webp"),
            pytest.param(gps_jpeg()[:-200], 422, "broken_picture", id="truncated"),
            pytest.param(bomb(60_000, 60_000), 422, "too_many_pixels", id="bomb"),
            pytest.param(bomb(2_000_000_000, 2_000_000_000), 422, "too_many_pixels", id="bigger bomb"),
            pytest.param(bomb(5000, 5000), 422, "broken_picture", id="too few pixels"),
        ],
    )
    async def test_what_is_no_usable_picture_leaves_nothing(self, storage, upload, rows, data, status, code) -> None:
        answer = await upload(data)

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert await rows("SELECT 1 FROM assets") == []
        assert await emitted(storage.db) == []

    @pytest.mark.parametrize("size", [10 * 1024 * 1024 + 1, 12 * 1024 * 1024], ids=["by a byte", "by far"])
    async def test_more_than_ten_megabytes_are_refused(self, upload, size) -> None:
        answer = await upload(b"\x89PNG\r\n\x1a\n" + bytes(size - 8))

        assert answer.status_code == 413
        assert answer.json()["code"] in {"upload_too_large", "body_too_large"}

    async def test_a_form_without_a_file_is_refused(self, storage) -> None:
        async with client(storage, account_id=ACCOUNT) as http:
            answers = [
                await http.post("/v1/uploads", data={"file": "text"}),
                await http.post("/v1/uploads", files={"file": (None, "text")}),
                await http.post("/v1/uploads", files={"picture": ("a.png", b"x")}),
                await http.post("/v1/uploads", json={"file": "text"}),
                await http.post("/v1/uploads"),
            ]

        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
            assert [fault["field"] for fault in answer.json()["errors"]] == ["file"]

    @pytest.mark.parametrize(
        "media_type", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=b"]
    )
    async def test_a_form_that_cannot_be_read_is_refused(self, storage, media_type) -> None:
        async with client(storage, account_id=ACCOUNT) as http:
            answer = await http.post("/v1/uploads", content=b"--a\r\n", headers={"Content-Type": media_type})

        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")

    async def test_nobody_uploads_without_an_identity(self, storage, png) -> None:
        async with client(storage) as http:
            answer = await http.post("/v1/uploads", files={"file": ("a.png", png())})

        assert answer.status_code == 401


class TestSlowly:
    async def test_a_picture_may_arrive_when_the_token_has_long_run_out(self, storage, png, monkeypatch) -> None:
        upload = SlowUpload(png())
        sending = asyncio.create_task(upload.send(storage))
        await upload.asked.wait()

        class Later(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz or UTC) + timedelta(seconds=2 * identity.LIFETIME_SECONDS)

        monkeypatch.setattr(jwt.api_jwt, "datetime", Later)
        upload.go.set()

        assert (await sending).status_code == 201

    async def test_one_upload_too_many_is_refused_unread(self, storage, png) -> None:
        first = [SlowUpload(png()) for _ in range(storage.settings.uploads_per_account)]
        sending = [asyncio.create_task(upload.send(storage)) for upload in first]
        await asyncio.gather(*(upload.asked.wait() for upload in first))
        one_more, stranger = SlowUpload(png()), SlowUpload(png())
        stranger.go.set()

        refused = await one_more.send(storage)
        foreign = await stranger.send(storage, new_id("acc"))

        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_uploads")
        assert not one_more.asked.is_set()
        assert foreign.status_code == 201
        for upload in first:
            upload.go.set()
        assert {answer.status_code for answer in await asyncio.gather(*sending)} == {201}

    async def test_whoever_falls_silent_gives_the_turn_back(self, storage, upload, png, monkeypatch) -> None:
        monkeypatch.setattr(forms, "SILENCE_SECONDS", 0.2)
        silent = [SlowUpload(png()) for _ in range(storage.settings.uploads_per_account)]

        given_up = await asyncio.gather(*(one.send(storage) for one in silent))

        assert {(answer.status_code, answer.json()["code"]) for answer in given_up} == {(408, "upload_stalled")}
        assert (await upload(png())).status_code == 201

    async def test_nobody_is_read_without_an_identity(self, storage, png) -> None:
        upload = SlowUpload(png())

        answer = await upload.send(storage, account_id=None)

        assert answer.status_code == 401
        assert not upload.asked.is_set()


class TestCrowd:
    async def test_thumbnails_that_hang_delay_no_upload(self, storage, upload, png) -> None:
        worker = next(worker for worker in storage.workers if worker.name == "derivatives")
        processes = worker._work.__self__._processes
        hanging = [asyncio.create_task(processes.run(time.sleep, 60)) for _ in range(8)]
        await eventually(lambda: not processes._free.qsize())

        async with asyncio.timeout(30):
            answer = await upload(png())

        assert answer.status_code == 201
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)

    async def test_one_account_has_few_uploads_at_a_time_and_others_have_their_own(
        self, storage, upload, png, monkeypatch
    ) -> None:
        put, waiting, go = Blobs.put, [], asyncio.Event()

        async def slow(self: Blobs, key: str, *arguments: object) -> None:
            if key.startswith(ACCOUNT):
                waiting.append(key)
                await go.wait()
            await put(self, key, *arguments)

        monkeypatch.setattr(Blobs, "put", slow)
        limit = storage.settings.uploads_per_account
        first = [asyncio.create_task(upload(png())) for _ in range(limit)]
        await eventually(lambda: len(waiting) == limit)
        refused, foreign = await upload(png()), await upload(png(), account_id=new_id("acc"))
        go.set()
        taken = await asyncio.gather(*first)

        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_uploads")
        assert int(refused.headers["retry-after"]) > 0
        assert foreign.status_code == 201
        assert {answer.status_code for answer in taken} == {201}
        assert (await upload(png())).status_code == 201


class TestRepeat:
    async def test_the_same_key_returns_the_first_asset(self, storage, upload, png, rows) -> None:
        first, second = await upload(png(), key="k1"), await upload(png(), key="k1")

        assert first.json()["id"] == second.json()["id"]
        assert "idempotent-replay" not in first.headers
        assert second.headers["idempotent-replay"] == "true"
        assert second.status_code == 201
        assert len(await rows("SELECT 1 FROM assets")) == 1
        assert len(await emitted(storage.db)) == 1

    async def test_the_same_key_with_another_picture_is_a_conflict(self, upload, png) -> None:
        await upload(png(), key="k1")

        answer = await upload(png(color="#ff0000"), key="k1")

        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")

    async def test_two_requests_at_once_make_one_asset_and_one_object(self, storage, upload, png, rows, blobs) -> None:
        answers = await asyncio.gather(*(upload(png(), key="k1") for _ in range(3)))

        keys = [found.object_name for found in blobs._client.list_objects(blobs.bucket, recursive=True)]
        (asset,) = await rows("SELECT id, object_key FROM assets")
        assert {answer.json()["id"] for answer in answers} == {asset["id"]}
        assert keys == [asset["object_key"]]

    async def test_another_account_s_key_is_its_own(self, upload, png) -> None:
        ours, theirs = await upload(png(), key="k1"), await upload(png(), key="k1", account_id=new_id("acc"))

        assert ours.json()["id"] != theirs.json()["id"]
