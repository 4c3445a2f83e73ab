"""Registration: an announced artifact becomes an asset once one HEAD has proved that S3 holds exactly those bytes.

Only a mismatch, or an object that stays missing, rejects it. While S3 is away the assets wait, and one of them at a
time asks for it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Row, select, text

from kit import outbox
from kit.blobs import Blobs, BlobUnavailableError
from kit.coalescer import Coalescer
from kit.database import Database, WriteSession
from kit.leases import Lease, LeaseLostError, LeaseWorker, retry_after, write_held
from kit.sql import among
from shared.events import ArtifactProduced, AssetRejected, AssetStored
from storage.derivatives import Thumbnails
from storage.models import assets

log = structlog.get_logger()

CONCURRENCY = 128
LOOKS = 5
"""An object is missing when so many HEADs, within about eight seconds, did not find it."""
LOOK_AGAIN_SECONDS = 0.5
S3_RETRY_SECONDS = 2.0

_SETTLE = text("""
UPDATE assets
SET state = CASE WHEN verdict.code IS NULL THEN 'stored' ELSE 'rejected' END,
    rejection_code = verdict.code, rejection_detail = verdict.detail,
    settled_at = now(), due_at = NULL, lease_token = NULL, leased_until = NULL
FROM unnest(CAST(:ids AS text[]), CAST(:tokens AS uuid[]), CAST(:codes AS text[]), CAST(:details AS text[]))
    AS verdict (id, token, code, detail)
WHERE assets.id = verdict.id AND assets.lease_token = verdict.token AND assets.leased_until > now()
RETURNING assets.*
""")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a HEAD has shown. Without a code the asset is stored."""

    lease: Lease
    code: str | None = None
    detail: str | None = None


class Registrar:
    """Registers artifacts and emits AssetStored or AssetRejected, once per asset."""

    def __init__(self, db: Database, blobs: Blobs, thumbnails: Thumbnails) -> None:
        self._db = db
        self._blobs = blobs
        self._thumbnails = thumbnails
        self._verdicts: Coalescer[Verdict, bool] = Coalescer(db, self._settle, service="storage", rests=True)
        self.worker = LeaseWorker(
            db,
            assets,
            self._work,
            service="storage",
            concurrency=CONCURRENCY,
            lease_seconds=60,
            places=lambda: CONCURRENCY if blobs.reachable() else 1,
        )

    async def announce(self, session: WriteSession, artifacts: Sequence[ArtifactProduced]) -> None:
        """Keep what was announced and start to look at it. An asset that is known is left alone."""
        announced = {artifact.asset_id: artifact for artifact in reversed(artifacts)}
        known = set(await session.scalars(select(assets.c.id).where(among(assets.c.id, announced))))
        # two transactions that announce one asset at once meet at the primary key; the edge repeats the later one
        rows = [_row(artifact) for asset_id, artifact in announced.items() if asset_id not in known]
        if rows:
            await self.worker.insert(session, rows)

    async def _work(self, lease: Lease) -> None:
        try:
            verdict = await self._look(lease)
        except BlobUnavailableError:  # that S3 is away is told once, by who asks it
            await asyncio.sleep(S3_RETRY_SECONDS)  # in its place, else the next asset would ask at once
            # not counted as a look, so an S3 server that is away for hours makes nothing missing
            await self._wait(lease, 0, looks=lease.attempts - 1)
            return
        if verdict is None:
            await self._wait(lease, LOOK_AGAIN_SECONDS * 2 ** (lease.attempts - 1), looks=lease.attempts)
        elif not await self._verdicts.submit(verdict):
            raise LeaseLostError(lease.id)

    async def _look(self, lease: Lease) -> Verdict | None:
        """Compare S3 with the announcement; None when the object may still appear."""
        row = lease.row
        try:
            found = await self._blobs.head(row.object_key)
        except KeyError:
            if lease.attempts < LOOKS:
                return None
            return Verdict(lease, "missing", f"There is no object under {row.object_key}.")
        sha256 = found.metadata.get("sha256")
        if found.size != row.size:
            return Verdict(lease, "size_mismatch", f"The object has {found.size} bytes instead of {row.size}.")
        if sha256 != row.sha256:
            return Verdict(lease, "hash_mismatch", f"The object has SHA-256 {sha256} instead of {row.sha256}.")
        return Verdict(lease)

    async def _wait(self, lease: Lease, seconds: float, *, looks: int) -> None:
        async with self._db.write() as session:
            await write_held(session, assets, lease, retry_after(seconds, attempts=looks))

    async def _settle(self, session: WriteSession, verdicts: Sequence[Verdict]) -> Sequence[bool]:
        """Write the verdicts of one transaction and tell of them; False for a lease that was lost."""
        written = await session.execute(
            _SETTLE,
            {
                "ids": [verdict.lease.id for verdict in verdicts],
                "tokens": [verdict.lease.token for verdict in verdicts],
                "codes": [verdict.code for verdict in verdicts],
                "details": [verdict.detail for verdict in verdicts],
            },
        )
        rows = {row.id: row for row in written}
        for row in rows.values():
            event = _stored(row) if row.state == "stored" else _rejected(row)
            outbox.add(session, event, cause=row.causation_id, traceparent=row.traceparent)
        stored = {row.id: row.traceparent for row in rows.values() if row.state == "stored"}
        await self._thumbnails.order(session, stored)
        return [verdict.lease.id in rows for verdict in verdicts]


def _row(artifact: ArtifactProduced) -> dict[str, object]:
    return {
        "id": artifact.asset_id,
        "account_id": artifact.account_id,
        "source": "fallback" if artifact.fallback else "generated",
        "state": "registering",
        "job_id": artifact.job_id,
        "item": artifact.item,
        "object_key": artifact.object_key,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "media_type": artifact.media_type,
        "width": artifact.width,
        "height": artifact.height,
        "fallback": artifact.fallback,
        "late": artifact.late,
        "recipe": artifact.recipe,
        "causation_id": artifact.envelope.id,
        "traceparent": artifact.envelope.traceparent,
    }


def _stored(row: Row[tuple[object, ...]]) -> AssetStored:
    return AssetStored(
        asset_id=row.id,
        account_id=row.account_id,
        source=row.source,
        job_id=row.job_id,
        item=row.item,
        size=row.size,
        sha256=row.sha256,
        media_type=row.media_type,
        width=row.width,
        height=row.height,
        late=row.late,
    )


def _rejected(row: Row[tuple[object, ...]]) -> AssetRejected:
    log.error("asset.rejected", asset_id=row.id, job_id=row.job_id, code=row.rejection_code)
    return AssetRejected(
        asset_id=row.id,
        account_id=row.account_id,
        job_id=row.job_id,
        item=row.item,
        code=row.rejection_code,
        detail=row.rejection_detail,
    )
