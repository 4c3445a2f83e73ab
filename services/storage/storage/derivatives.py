"""Derivatives: what is made of an asset afterwards, each once, addressed by its recipe.

A derivative that cannot be made is given up after a few attempts and says why; its asset is not touched.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import select

from kit.blobs import Blobs, BlobUnavailableError
from kit.database import Database, WriteSession
from kit.leases import Lease, LeaseWorker, finished, retry_after, write_held
from storage.models import assets, derivatives
from storage.pictures import PictureRefusedError, thumbnail
from storage.processes import ProcessDiedError, Processes

log = structlog.get_logger()

THUMBNAIL = "thumbnail-480-webp"
THUMBNAIL_SIDE = 480
MAX_PIXELS = 100_000_000
ATTEMPTS = 4
S3_RETRY_SECONDS = 3.0


class Thumbnails:
    """Makes the thumbnail of every stored asset."""

    def __init__(self, db: Database, blobs: Blobs, processes: Processes, *, concurrency: int) -> None:
        self._db = db
        self._blobs = blobs
        self._processes = processes
        self.worker = LeaseWorker(
            db, derivatives, self._work, service="storage", concurrency=concurrency, lease_seconds=120
        )

    async def order(self, session: WriteSession, traceparents: Mapping[str, str | None]) -> None:
        """Order the thumbnails of assets that this transaction stores; ``traceparents`` is by asset id."""
        rows = [
            {
                "id": f"{asset_id}/{THUMBNAIL}",
                "asset_id": asset_id,
                "recipe": THUMBNAIL,
                "state": "making",
                "traceparent": traceparent,
            }
            for asset_id, traceparent in traceparents.items()
        ]
        if rows:
            await self.worker.insert(session, rows)

    async def _work(self, lease: Lease) -> None:
        if lease.attempts > ATTEMPTS:  # whoever tried last died with its process
            await self._settle(lease, _given_up(lease, "no attempt came to an end"))
            return
        try:
            result = {"state": "done", "object_key": await self._make(lease), **finished()}
        except BlobUnavailableError as error:
            log.warning("thumbnail.delayed", id=lease.id, reason=str(error))
            # an attempt is one that read the bytes, so an S3 server that is away for hours costs none
            result = retry_after(S3_RETRY_SECONDS, attempts=lease.attempts - 1)
        except (PictureRefusedError, KeyError) as error:
            result = _given_up(lease, str(error))
        except ProcessDiedError as error:
            again = lease.attempts < ATTEMPTS
            result = retry_after(2.0**lease.attempts) if again else _given_up(lease, str(error))
        await self._settle(lease, result)

    async def _make(self, lease: Lease) -> str:
        """Make the picture and keep it. Returns its key."""
        async with self._db.read() as session:
            query = select(assets.c.account_id, assets.c.object_key).where(assets.c.id == lease.row.asset_id)
            asset = (await session.execute(query)).one()
        original = await self._blobs.get(asset.object_key)
        picture = await self._processes.run(thumbnail, original, THUMBNAIL_SIDE, MAX_PIXELS)
        key = f"{asset.account_id}/derivatives/{lease.row.asset_id}/{lease.row.recipe}.webp"
        await self._blobs.put(key, picture.data, picture.media_type)
        return key

    async def _settle(self, lease: Lease, result: Mapping[str, Any]) -> None:
        async with self._db.write() as session:
            await write_held(session, derivatives, lease, result)


def _given_up(lease: Lease, reason: str) -> dict[str, Any]:
    log.error("thumbnail.given_up", id=lease.id, attempts=lease.attempts, reason=reason)
    return {"state": "failed", "error": reason[:500], **finished()}
