"""Uploads: pictures that customers bring. What is kept is our own encoding of the pixels, never the bytes received.

Gateway waits 30 s for the answer once it has passed the body on. Whatever cannot be answered by then is refused before
anything of it is kept: its customer has been told 503 and sends it again.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import func, insert

from kit import idempotency, outbox
from kit.blobs import Blobs
from kit.database import WriteSession
from kit.idempotency import Fingerprint
from kit.places import Places, Turns
from kit.problems import too_many_uploads
from kit.tracing import current_traceparent
from shared.events import AssetStored
from shared.ids import new_id
from storage.derivatives import Thumbnails
from storage.errors import unsupported_picture, unusable_picture, uploads_busy
from storage.models import assets
from storage.pictures import EXTENSIONS, Picture, PictureRefusedError, UnsupportedPictureError, clean
from storage.processes import ProcessDiedError, Processes

MAX_BYTES = 10 * 1024 * 1024
PATIENCE_SECONDS = 10.0
"""How long a picture waits for a process."""
CLEANING_CPU_SECONDS = 20
"""The slowest honest picture takes some 12."""
CLEAN_SECONDS = 25.0
"""How long it may take until a picture is clean, wait and all, so that S3 and the database have the rest."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A cleaned picture under its final key, before anyone knows of it."""

    asset_id: str
    account_id: str
    object_key: str
    picture: Picture
    sha256: str


class Uploads:
    """Takes in pictures of strangers, few of each account at a time."""

    def __init__(
        self,
        blobs: Blobs,
        processes: Processes,
        places: Places,
        thumbnails: Thumbnails,
        *,
        max_pixels: int,
        max_held: int,
        per_account: int,
    ) -> None:
        self._blobs = blobs
        self._processes = processes
        self._places = places
        self._thumbnails = thumbnails
        self._max_pixels = max_pixels
        self._turns = Turns(per_account, too_many_uploads)
        self._max_held = max_held
        self._held = 0

    @contextmanager
    def turn(self, account_id: str, *, announced: int) -> Iterator[Callable[[int], None]]:
        """Count an upload while the block runs, from before its first byte is read. Raises Problem 429 or 503.

        The block calls what it is given with the number of bytes that came, which raises Problem 503 when all uploads
        together hold too many. What is only ``announced`` takes no room: who sends nothing could hold all of it.
        """
        with self._turns.turn(account_id), self._holding(announced) as hold:
            yield hold

    @contextmanager
    def _holding(self, announced: int) -> Iterator[Callable[[int], None]]:
        if self._held + min(announced, MAX_BYTES) > self._max_held:
            raise uploads_busy()
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if self._held + size > self._max_held:
                raise uploads_busy()
            self._held += size
            held += size

        try:
            yield hold
        finally:
            self._held -= held

    async def put(self, data: bytes, *, account_id: str) -> Upload:
        """Clean the picture and write it to S3. Raises Problem 415, 422 or 503, or BlobUnavailableError."""
        picture = await self._clean(data, account_id)
        asset_id, sha256 = new_id("ast"), hashlib.sha256(picture.data).hexdigest()
        key = f"{account_id}/uploads/{asset_id}.{EXTENSIONS[picture.media_type]}"
        await self._blobs.put(key, picture.data, picture.media_type, {"sha256": sha256})
        return Upload(asset_id, account_id, key, picture, sha256)

    async def keep(self, session: WriteSession, *, upload: Upload, use: Fingerprint | None) -> str:
        """Register an upload and tell of it; returns the asset's id, that of the first upload if this is a replay."""
        if use is not None:
            first = await idempotency.claim(session, use)
            if first is not None:
                return str(first["asset_id"])
            await idempotency.store(session, use, {"asset_id": upload.asset_id})
        traceparent = current_traceparent()
        facts = {
            "account_id": upload.account_id,
            "source": "uploaded",
            "size": len(upload.picture.data),
            "sha256": upload.sha256,
            "media_type": upload.picture.media_type,
            "width": upload.picture.width,
            "height": upload.picture.height,
        }
        await session.execute(
            insert(assets).values(
                id=upload.asset_id,
                state="stored",
                object_key=upload.object_key,
                fallback=False,
                late=False,
                settled_at=func.now(),
                traceparent=traceparent,
                **facts,
            )
        )
        outbox.add(session, AssetStored(asset_id=upload.asset_id, **facts), traceparent=traceparent)
        await self._thumbnails.order(session, {upload.asset_id: traceparent})
        return upload.asset_id

    async def discard(self, upload: Upload) -> None:
        """Remove the object of an upload that turned out to be a replay."""
        await self._blobs.delete(upload.object_key)

    async def _clean(self, data: bytes, account_id: str) -> Picture:
        try:
            async with asyncio.timeout(CLEAN_SECONDS), self._places.place(account_id, patience=PATIENCE_SECONDS):
                return await self._processes.run(clean, data, self._max_pixels)
        except TimeoutError as error:
            raise uploads_busy() from error
        except UnsupportedPictureError as error:
            raise unsupported_picture() from error
        except PictureRefusedError as error:
            raise unusable_picture(error.code, error.detail) from error
        except ProcessDiedError as error:
            detail = "The picture takes too much time or memory to decode; send a simpler encoding of it."
            raise unusable_picture("too_complex", detail) from error
