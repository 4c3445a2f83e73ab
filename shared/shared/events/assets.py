"""``storage.assets``: what is kept."""

from typing import ClassVar

from pydantic import Field

from shared.contract import Event, Topic
from shared.ids import AccountId, AssetId, JobId
from shared.topics import STORAGE_ASSETS


class AssetStored(Event):
    """An asset is registered and can be fetched. ``source``: generated, fallback, uploaded."""

    topic: ClassVar[Topic] = STORAGE_ASSETS

    asset_id: AssetId
    account_id: AccountId
    source: str
    job_id: JobId | None = None
    item: int | None = None
    size: int = Field(description="Bytes.")
    sha256: str
    media_type: str
    width: int
    height: int
    late: bool = False


class AssetRejected(Event):
    """The stored bytes are missing or not what was announced; the item fails and is not charged."""

    topic: ClassVar[Topic] = STORAGE_ASSETS

    asset_id: AssetId
    account_id: AccountId
    job_id: JobId
    item: int
    code: str
    detail: str
