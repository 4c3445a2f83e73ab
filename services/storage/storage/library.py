"""A customer's library: what is kept for an account, and signed links to it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, and_, select

from kit.blobs import Blobs
from kit.database import ReadSession
from storage.derivatives import THUMBNAIL
from storage.errors import asset_not_found
from storage.models import assets, derivatives
from storage.pictures import EXTENSIONS

AssetRow = Row[tuple[Any, ...]]


async def list_assets(
    session: ReadSession, *, account_id: str, job_id: str | None, source: str | None, before: str | None, limit: int
) -> list[AssetRow]:
    """Stored assets of an account, newest first."""
    query = _with_thumbnail().where(assets.c.account_id == account_id, assets.c.state == "stored")
    if job_id is not None:
        query = query.where(assets.c.job_id == job_id)
    if source is not None:
        query = query.where(assets.c.source == source)
    if before is not None:
        query = query.where(assets.c.id < before)
    return list(await session.execute(query.order_by(assets.c.id.desc()).limit(limit)))


async def get_asset(session: ReadSession, *, account_id: str, asset_id: str) -> AssetRow:
    """One asset of an account in whatever state. Raises Problem 404."""
    query = _with_thumbnail().where(assets.c.id == asset_id, assets.c.account_id == account_id)
    row: AssetRow | None = (await session.execute(query)).one_or_none()
    if row is None:
        raise asset_not_found()
    return row


def _with_thumbnail() -> Select[Any]:
    made = and_(derivatives.c.asset_id == assets.c.id, derivatives.c.recipe == THUMBNAIL, derivatives.c.state == "done")
    return select(assets, derivatives.c.object_key.label("thumbnail_key")).outerjoin(derivatives, made)


@dataclass(frozen=True, slots=True)
class Links:
    """URLs that show an asset to whoever holds them, for a while."""

    blobs: Blobs
    lifetime: timedelta

    def original(self, row: AssetRow) -> str | None:
        """A URL of the bytes themselves; None while there are none."""
        if row.state != "stored":
            return None
        name = f"{row.id}.{EXTENSIONS.get(row.media_type, 'bin')}"
        return self.blobs.signed_url(row.object_key, expires=self.lifetime, filename=name)

    def thumbnail(self, row: AssetRow) -> str | None:
        """A URL of the thumbnail; None until it is made."""
        if row.thumbnail_key is None:
            return None
        return self.blobs.signed_url(row.thumbnail_key, expires=self.lifetime)

    def expiry(self) -> datetime:
        """When links that are made now end."""
        return datetime.now(UTC).replace(microsecond=0) + self.lifetime
