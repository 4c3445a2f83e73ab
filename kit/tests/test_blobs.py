"""Objects in a real S3 server, and what is told when there is none."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
import urllib3

from devstack.infra import Infra
from kit import reachability
from kit.blobs import BlobInfo, Blobs, BlobUnavailableError
from kit.database import is_transient
from kit.testing import Stack, eventually

KEY = "jobs/job_1/0 ä+%.png"
DATA = b"\x89PNG bytes"


def blobs_at(stack: Stack, *, url: str | None = None, bucket: str | None = None, secret: str | None = None) -> Blobs:
    return Blobs(
        url=url or stack.s3_url,
        access_key=stack.s3_access_key,
        secret_key=secret or stack.s3_secret_key,
        bucket=bucket or f"test-{uuid.uuid4().hex[:12]}",
        region="us-east-1",
    )


@pytest.fixture
async def blobs(stack: Stack) -> AsyncIterator[Blobs]:
    store = blobs_at(stack)
    await store.ensure_bucket()
    yield store
    await store.close()


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        yield client


class TestObjects:
    async def test_what_is_put_is_got_and_described(self, blobs: Blobs) -> None:
        await blobs.put(KEY, DATA, "image/png", {"sha256": "abc", "Job-Id": "job_1"})

        assert await blobs.get(KEY) == DATA
        expected = BlobInfo(size=len(DATA), media_type="image/png", metadata={"sha256": "abc", "job-id": "job_1"})
        assert await blobs.head(KEY) == expected

    async def test_writing_a_key_again_replaces_the_object(self, blobs: Blobs) -> None:
        await blobs.put(KEY, b"old", "text/plain")
        await blobs.put(KEY, DATA, "image/png")

        assert await blobs.get(KEY) == DATA

    async def test_an_empty_and_a_large_object_arrive_whole(self, blobs: Blobs) -> None:
        large = bytes(range(256)) * 20_000
        await asyncio.gather(blobs.put("empty", b"", "text/plain"), blobs.put("large", large, "text/plain"))

        assert await blobs.get("empty") == b""
        assert await blobs.get("large") == large

    async def test_an_object_of_any_size_is_written_by_one_request(
        self, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent, urlopen = [], urllib3.PoolManager.urlopen

        def count(self: urllib3.PoolManager, method: str, url: str, *arguments: Any, **options: Any) -> Any:
            sent.append(method)
            return urlopen(self, method, url, *arguments, **options)

        monkeypatch.setattr(urllib3.PoolManager, "urlopen", count)
        data = bytes(6 * 1024 * 1024)

        await blobs.put(KEY, data, "image/png")

        assert sent == ["PUT"]
        assert await blobs.get(KEY) == data

    async def test_a_deleted_object_is_gone_and_deleting_it_again_is_fine(self, blobs: Blobs) -> None:
        await blobs.put(KEY, DATA, "image/png")

        await blobs.delete(KEY)
        await blobs.delete(KEY)

        with pytest.raises(KeyError):
            await blobs.get(KEY)

    async def test_a_missing_object_is_a_key_error(self, blobs: Blobs) -> None:
        with pytest.raises(KeyError):
            await blobs.get("none")
        with pytest.raises(KeyError):
            await blobs.head("none")

    async def test_a_bucket_that_many_want_at_once_is_made_once(self, stack: Stack) -> None:
        bucket = f"test-{uuid.uuid4().hex[:12]}"
        stores = [blobs_at(stack, bucket=bucket) for _ in range(5)]

        await asyncio.gather(*(store.ensure_bucket() for store in stores))
        await stores[0].put(KEY, DATA, "image/png")

        assert await stores[1].get(KEY) == DATA
        await asyncio.gather(*(store.close() for store in stores))


class TestSignedUrls:
    async def test_a_signed_url_works_without_credentials(self, blobs: Blobs, http: httpx2.AsyncClient) -> None:
        await blobs.put(KEY, DATA, "image/png")

        url = blobs.signed_url(KEY, expires=timedelta(minutes=1), filename="fox.png")
        answer = await http.get(url)

        assert (answer.status_code, answer.content) == (200, DATA)
        assert answer.headers["content-type"] == "image/png"
        assert httpx2.URL(url).params["response-content-disposition"] == 'inline; filename="fox.png"'

    async def test_a_url_that_was_changed_or_not_signed_is_refused(
        self, blobs: Blobs, http: httpx2.AsyncClient
    ) -> None:
        await blobs.put("mine", DATA, "image/png")
        await blobs.put("other", DATA, "image/png")
        url = blobs.signed_url("mine", expires=timedelta(minutes=1))

        for changed in (
            url.replace("/mine?", "/other?"),
            url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"),
            url[:-1] + ("0" if url[-1] != "0" else "1"),
            url.partition("?")[0],
        ):
            assert (await http.get(changed)).status_code == 403

    async def test_a_signed_url_expires(self, blobs: Blobs, http: httpx2.AsyncClient) -> None:
        await blobs.put(KEY, DATA, "image/png")
        url = blobs.signed_url(KEY, expires=timedelta(seconds=1))

        async def refused() -> bool:
            return (await http.get(url)).status_code == 403

        await eventually(refused)

    async def test_the_public_address_is_in_the_signature_and_needs_no_network(self, stack: Stack) -> None:
        store = Blobs(
            url="http://127.0.0.1:1",
            access_key="key",
            secret_key="secret",
            bucket="pictures",
            region="us-east-1",
            public_url="https://media.example.com",
        )

        url = httpx2.URL(store.signed_url("a/b", expires=timedelta(hours=1)))

        assert (url.host, url.path) == ("media.example.com", "/pictures/a/b")
        await store.close()


class TestOutage:
    async def test_a_server_that_is_away_is_unavailable_and_worth_another_try(self, stack: Stack) -> None:
        store = blobs_at(stack, url="http://127.0.0.1:1")
        for call in (store.get(KEY), store.head(KEY), store.put(KEY, DATA, "image/png"), store.delete(KEY)):
            with pytest.raises(BlobUnavailableError) as caught:
                await call
            assert is_transient(caught.value)
        await store.close()

    async def test_a_bucket_that_is_not_there_yet_is_an_outage_and_no_missing_object(self, stack: Stack) -> None:
        store = blobs_at(stack)
        for call in (store.get(KEY), store.head(KEY), store.put(KEY, DATA, "image/png"), store.delete(KEY)):
            with pytest.raises(BlobUnavailableError, match="NoSuchBucket"):
                await call
        await store.close()

    async def test_who_has_no_need_of_it_learns_that_it_is_back(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reachability, "ASK_SECONDS", 0.02)
        store = blobs_at(stack)
        with structlog.testing.capture_logs() as logs:
            assert not await store.ask()
        asking = asyncio.create_task(store.ask_while_lost())

        other = blobs_at(stack, bucket=store.bucket)
        await other.ensure_bucket()
        await eventually(store.reachable)

        assert [entry["event"] for entry in logs] == ["s3.lost"]
        await other.close()
        asking.cancel()
        await store.close()

    async def test_that_it_went_and_that_it_is_back_is_said_once_each(self, tmp_path: Path) -> None:
        with Infra(tmp_path, parts=("s3",)) as infra, structlog.testing.capture_logs() as logs:
            server = infra.s3
            store = Blobs(
                url=server.url,
                access_key=server.access_key,
                secret_key=server.secret_key,
                bucket="pictures",
                region="us-east-1",
            )
            await store.ensure_bucket()
            assert store.reachable()
            await asyncio.to_thread(server.kill)
            for _ in range(2):
                with pytest.raises(BlobUnavailableError):
                    await store.get(KEY)
            assert not store.reachable()
            await asyncio.to_thread(infra.start)
            with pytest.raises(KeyError):
                await store.get(KEY)
            assert store.reachable()
            await store.close()

        assert [entry["event"] for entry in logs] == ["s3.lost", "s3.returned"]

    async def test_wrong_credentials_are_told_without_the_secret(self, stack: Stack, blobs: Blobs) -> None:
        store = blobs_at(stack, bucket=blobs.bucket, secret="not-the-secret")
        with pytest.raises(BlobUnavailableError) as caught:
            await store.get(KEY)
        assert "not-the-secret" not in str(caught.value)
        await store.close()

    @pytest.mark.parametrize("status", [404, 500, 503])
    @pytest.mark.parametrize("call", ["get", "head"])
    async def test_a_proxy_that_answers_for_the_server_counts_as_an_outage(
        self, stack: Stack, status: int, call: str
    ) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await reader.readuntil(b"\r\n\r\n")
            body = b"" if request.startswith(b"HEAD") else b"busy"
            writer.write(
                f"HTTP/1.1 {status} Busy\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n".encode() + body
            )
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as proxy:
            host, port = proxy.sockets[0].getsockname()
            store = blobs_at(stack, url=f"http://{host}:{port}")
            with pytest.raises(BlobUnavailableError):
                await getattr(store, call)(KEY)
            assert not store.reachable()
            await store.close()
