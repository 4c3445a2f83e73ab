"""The library over HTTP, as gateway asks for it, and signed links that a browser follows."""

import io
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from PIL import Image
from sqlalchemy import text

from kit.testing import client, eventually, records
from shared.ids import new_id
from storage.app import build


@pytest.fixture
def stored(storage, produce, working, rows):
    """Pictures of one account, stored and with thumbnails."""

    async def stored(count: int = 1, data: bytes | None = None, fallbacks: int = 0, **changes) -> list:
        events = [await produce(data, item=n, fallback=n < fallbacks, **changes) for n in range(count)]
        async with working(storage):
            await storage.edge.handle(records(*events))
            await eventually(lambda: _as_many(rows, count))
        return events

    return stored


async def _as_many(rows, count: int) -> bool:
    return len(await rows("SELECT 1 FROM derivatives WHERE state <> 'making'")) >= count


class TestRead:
    async def test_a_stored_picture_can_be_fetched_by_its_signed_urls(self, storage, stored, png) -> None:
        (event,) = await stored(data=png())

        async with client(storage, account_id=event.account_id) as http:
            shown = (await http.get(f"/v1/assets/{event.asset_id}")).json()
        async with httpx2.AsyncClient() as browser:
            original = await browser.get(shown["url"])
            thumbnail = await browser.get(shown["thumbnail_url"])

        assert (shown["state"], shown["source"], shown["sha256"]) == ("stored", "generated", event.sha256)
        assert shown["recipe"] == event.recipe
        assert original.content == png()
        assert original.headers["content-type"] == "image/png"
        small = Image.open(io.BytesIO(thumbnail.content))
        assert (small.format, max(small.size)) == ("WEBP", 480)
        left = datetime.fromisoformat(shown["expires_at"]) - datetime.now(UTC)
        assert timedelta(minutes=14) < left <= timedelta(minutes=15)

    async def test_a_signed_url_that_was_changed_is_refused(self, storage, stored) -> None:
        (event,) = await stored()
        async with client(storage, account_id=event.account_id) as http:
            url = (await http.get(f"/v1/assets/{event.asset_id}")).json()["url"]

        async with httpx2.AsyncClient() as browser:
            answer = await browser.get(url.replace("X-Amz-Expires=900", "X-Amz-Expires=90000"))

        assert answer.status_code == 403

    async def test_a_signed_url_ends(self, blobs, produce) -> None:
        event = await produce()
        url = blobs.signed_url(event.object_key, expires=timedelta(seconds=1))

        async with httpx2.AsyncClient() as browser:
            await eventually(lambda: _is_refused(browser, url))

    async def test_another_account_s_picture_does_not_exist(self, storage, stored) -> None:
        (event,) = await stored()

        async with client(storage, account_id=new_id("acc")) as http:
            shown = await http.get(f"/v1/assets/{event.asset_id}")
            content = await http.get(f"/v1/assets/{event.asset_id}/content")
            listed = await http.get("/v1/assets")

        assert (shown.status_code, shown.json()["code"]) == (404, "asset_not_found")
        assert content.status_code == 404
        assert listed.json()["data"] == []

    async def test_a_picture_that_is_not_stored_has_no_content(self, storage, artifact, png) -> None:
        event = artifact(png())
        await storage.edge.handle(records(event))

        async with client(storage, account_id=event.account_id) as http:
            shown = (await http.get(f"/v1/assets/{event.asset_id}")).json()
            content = await http.get(f"/v1/assets/{event.asset_id}/content")

        assert (shown["state"], shown["url"], shown["thumbnail_url"]) == ("registering", None, None)
        assert (content.status_code, content.json()["code"]) == (409, "asset_not_available")

    @pytest.mark.parametrize(
        "path", ["/v1/assets?cursor=nonsense", "/v1/assets?source=stolen", "/v1/assets/nothing", "/v1/assets/%00"]
    )
    async def test_bad_questions_are_told_so(self, storage, path) -> None:
        async with client(storage, account_id=new_id("acc")) as http:
            answer = await http.get(path)

        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"

    async def test_nobody_gets_in_without_an_identity(self, storage) -> None:
        async with client(storage) as http:
            assert (await http.get("/v1/assets")).status_code == 401


class TestContent:
    async def test_an_image_tag_is_led_to_the_bytes(self, storage, stored, png) -> None:
        (event,) = await stored(data=png())

        async with client(storage, account_id=event.account_id) as http, httpx2.AsyncClient() as browser:
            original = await http.get(f"/v1/assets/{event.asset_id}/content")
            thumbnail = await http.get(f"/v1/assets/{event.asset_id}/content", params={"variant": "thumbnail"})
            bodies = [(await browser.get(answer.headers["location"])).content for answer in (original, thumbnail)]

        assert original.status_code == thumbnail.status_code == 307
        assert "private" in thumbnail.headers["cache-control"]
        assert bodies[0] == png()
        assert bodies[1][8:12] == b"WEBP"

    async def test_until_the_thumbnail_is_made_the_original_is_shown(self, storage, stored, png) -> None:
        (event,) = await stored(data=png())
        async with storage.db.write() as session:
            await session.execute(text("DELETE FROM derivatives"))

        async with client(storage, account_id=event.account_id) as http, httpx2.AsyncClient() as browser:
            answer = await http.get(f"/v1/assets/{event.asset_id}/content", params={"variant": "thumbnail"})
            body = (await browser.get(answer.headers["location"])).content

        assert body == png()
        assert answer.headers["cache-control"] == "private, max-age=0"

    async def test_browsers_are_sent_to_the_public_address(self, storage, stored) -> None:
        (event,) = await stored()
        public = storage.settings.model_copy(update={"s3_public_url": "https://pictures.example.com"})
        other = build(public)
        async with client(other, account_id=event.account_id) as http:
            answer = await http.get(f"/v1/assets/{event.asset_id}/content")
        await other.db.close()

        assert answer.headers["location"].startswith("https://pictures.example.com/")


class TestList:
    async def test_pages_follow_each_other_without_gap_or_repeat(self, storage, stored) -> None:
        account_id = new_id("acc")
        events = await stored(5, account_id=account_id)

        seen, cursor = [], None
        async with client(storage, account_id=account_id) as http:
            while True:
                query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
                answer = (await http.get("/v1/assets", params=query)).json()
                seen += [asset["id"] for asset in answer["data"]]
                cursor = answer["next_cursor"]
                if cursor is None:
                    break

        assert seen == sorted((event.asset_id for event in events), reverse=True)

    async def test_filters_narrow_the_list(self, storage, stored) -> None:
        account_id = new_id("acc")
        free, made = await stored(2, fallbacks=1, account_id=account_id)

        async with client(storage, account_id=account_id) as http:
            by_job = (await http.get("/v1/assets", params={"job_id": made.job_id})).json()["data"]
            by_source = (await http.get("/v1/assets", params={"source": "fallback"})).json()["data"]

        assert [asset["id"] for asset in by_job] == [made.asset_id]
        assert [asset["id"] for asset in by_source] == [free.asset_id]


class TestThumbnails:
    async def test_a_picture_without_pixels_gets_none_and_says_why(self, storage, stored, rows) -> None:
        (event,) = await stored(data=b"not a picture at all")

        (derivative,) = await rows("SELECT state, error, attempts FROM derivatives")
        async with client(storage, account_id=event.account_id) as http:
            shown = (await http.get(f"/v1/assets/{event.asset_id}")).json()

        assert derivative["state"] == "failed"
        assert "unsupported_picture" in derivative["error"]
        assert shown["state"] == "stored"
        assert shown["thumbnail_url"] is None


async def _is_refused(browser: httpx2.AsyncClient, url: str) -> bool:
    return (await browser.get(url)).status_code == 403
