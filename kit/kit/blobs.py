"""Objects in any S3-compatible store (AWS, R2, GCS, MinIO, SeaweedFS), through the ``minio`` client alone.

The client is synchronous, so calls run in a pool of threads of their own. Versioning and bucket policies are avoided,
because not every server has them. Presigning needs no network.
"""

import asyncio
import contextlib
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from minio.helpers import MIN_PART_SIZE

from kit.reachability import Reachability
from kit.settings import S3Settings

CONNECTIONS = 32
MISSING = frozenset({"NoSuchKey", "NoSuchObject"})  # a missing bucket is an outage: somebody makes it
READ_SECONDS = 8  # of silence, not of a whole transfer


class BlobUnavailableError(ConnectionError):
    """The object store cannot be reached or failed; the same call may succeed later."""


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What a HEAD tells of an object. ``size`` in bytes; ``metadata`` keys are lower case without ``x-amz-meta-``."""

    size: int
    media_type: str
    metadata: dict[str, str]


class Blobs:
    """One bucket. ``public_url`` is the address that browsers reach the same server under."""

    def __init__(
        self, *, url: str, access_key: str, secret_key: str, bucket: str, region: str, public_url: str | None = None
    ) -> None:
        self.bucket = bucket
        self._reachability = Reachability("s3", bucket=bucket)
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="s3")
        http = urllib3.PoolManager(
            maxsize=CONNECTIONS, timeout=urllib3.Timeout(connect=3, read=READ_SECONDS), retries=urllib3.Retry(total=0)
        )
        self._client = _client(url, access_key, secret_key, region, http)
        self._signer = _client(public_url or url, access_key, secret_key, region, http)

    @classmethod
    def from_settings(cls, settings: S3Settings, *, public_url: str | None = None) -> "Blobs":
        """The bucket that a service's settings name."""
        return cls(
            url=settings.s3_url,
            access_key=settings.s3_access_key.get_secret_value(),
            secret_key=settings.s3_secret_key.get_secret_value(),
            bucket=settings.s3_bucket,
            region=settings.s3_region,
            public_url=public_url,
        )

    def reachable(self) -> bool:
        """Whether S3 did what it was last asked for."""
        return self._reachability.answered

    async def ensure_bucket(self) -> None:
        """Make the bucket if it is missing. Raises BlobUnavailableError."""

        def make() -> None:
            if self._client.bucket_exists(self.bucket):
                return
            try:
                self._client.make_bucket(self.bucket)
            except S3Error as error:
                if error.code != "BucketAlreadyOwnedByYou":  # another process was quicker
                    raise

        await self._run(make)

    async def put(self, key: str, data: bytes, media_type: str, metadata: dict[str, str] | None = None) -> None:
        """Write an object in one request, whole or not at all; writing the same key again replaces it.

        Raises BlobUnavailableError.
        """
        await self._run(
            partial(
                self._client.put_object,
                self.bucket,
                key,
                io.BytesIO(data),
                len(data),
                content_type=media_type,
                metadata=dict(metadata or {}),
                part_size=max(len(data), MIN_PART_SIZE),  # in parts, a kill would leave an upload that nobody ends
            )
        )

    async def get(self, key: str) -> bytes:
        """The bytes of an object. Raises KeyError when it is missing, BlobUnavailableError when nobody can tell."""

        def read() -> bytes:
            answer = self._client.get_object(self.bucket, key)
            try:
                return answer.read()
            finally:
                answer.close()
                answer.release_conn()

        return bytes(await self._run(read))

    async def head(self, key: str) -> BlobInfo:
        """Size, type and metadata of an object. Raises KeyError and BlobUnavailableError like :meth:`get`."""
        found = await self._run(partial(self._look, key))
        prefix = "x-amz-meta-"
        metadata = {
            name.lower().removeprefix(prefix): value
            for name, value in (found.metadata or {}).items()
            if name.lower().startswith(prefix)
        }
        return BlobInfo(size=found.size, media_type=found.content_type or "", metadata=metadata)

    async def delete(self, key: str) -> None:
        """Remove an object; a missing one is fine. Raises BlobUnavailableError."""
        await self._run(partial(self._client.remove_object, self.bucket, key))

    def signed_url(self, key: str, *, expires: timedelta, filename: str | None = None) -> str:
        """A GET URL that works without credentials until it expires."""
        headers: dict[str, str | list[str] | tuple[str]] | None = (
            {"response-content-disposition": f'inline; filename="{filename}"'} if filename else None
        )
        return str(self._signer.presigned_get_object(self.bucket, key, expires=expires, response_headers=headers))

    async def ask(self) -> bool:
        """Whether S3 is there, found out now by asking for the bucket. A silent server takes 8 s."""
        with contextlib.suppress(BlobUnavailableError):
            await self._run(self._find_bucket)
        return self.reachable()

    async def ask_while_lost(self) -> None:
        """Learn of S3's return also where nothing is put or fetched; until cancelled."""
        await self._reachability.ask_while_lost(self.ask)

    def _find_bucket(self) -> None:
        if not self._client.bucket_exists(self.bucket):
            raise BlobUnavailableError(f"there is no bucket {self.bucket}")

    async def close(self) -> None:
        """Wait for running calls."""
        await asyncio.to_thread(self._pool.shutdown, True, cancel_futures=True)

    def _look(self, key: str) -> Any:
        try:
            return self._client.stat_object(self.bucket, key)
        except S3Error as error:
            if error.code not in MISSING:
                raise
        # An answer to HEAD has no body, so the client guesses: it takes a missing bucket and the 404 of a proxy for a
        # missing object too. Only a GET says which it is.
        answer = self._client.get_object(self.bucket, key, length=1)
        answer.close()
        answer.release_conn()
        raise OSError(f"HEAD does not find {key}, and GET does")

    async def _run(self, call: Any) -> Any:
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except S3Error as error:
            if error.code in MISSING:
                self._reachability.note(answered=True)
                raise KeyError(error.object_name or self.bucket) from error
            raise self._unavailable(f"S3 answered {error.code}: {error.message}") from error
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unavailable(f"S3 cannot be reached: {error}") from error
        self._reachability.note(answered=True)
        return result

    def _unavailable(self, reason: str) -> BlobUnavailableError:
        self._reachability.note(answered=False, reason=reason)
        return BlobUnavailableError(reason)


def _client(url: str, access_key: str, secret_key: str, region: str, http: urllib3.PoolManager) -> Minio:
    parts = urlsplit(url)
    return Minio(
        parts.netloc,
        access_key=access_key,
        secret_key=secret_key,
        secure=parts.scheme == "https",
        region=region,
        http_client=http,
    )
