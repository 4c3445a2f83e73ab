"""What storage's routes answer with."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from storage.library import AssetRow, Links

Source = Literal["generated", "fallback", "uploaded"]
State = Literal["registering", "stored", "rejected"]
Variant = Literal["original", "thumbnail"]


class Rejection(BaseModel):
    """Why an asset was not kept."""

    code: str = Field(description="`missing`, `size_mismatch` or `hash_mismatch`.", examples=["missing"])
    detail: str


class Asset(BaseModel):
    """A picture in your library."""

    id: str = Field(examples=["ast_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"])
    source: Source = Field(description="`generated` by a model, a local `fallback`, or `uploaded` by you.")
    state: State = Field(description="Content can be fetched once it is `stored`.")
    job_id: str | None = Field(description="The job that made it; null for an upload.")
    item: int | None = Field(description="Which of the job's items it is, from 0.")
    media_type: str = Field(examples=["image/png"])
    width: int = Field(description="Pixels.", examples=[1024])
    height: int = Field(description="Pixels.", examples=[1024])
    size: int = Field(description="Bytes.", examples=[1482113])
    sha256: str = Field(description="Hex SHA-256 of the bytes.")
    fallback: bool = Field(description="Made locally because the model was unavailable; it was free.")
    late: bool = Field(description="Arrived after its job had ended; it was free.")
    created_at: datetime
    url: str | None = Field(description="Signed URL of the picture, good until `expires_at`; null unless stored.")
    thumbnail_url: str | None = Field(description="The same for the thumbnail; null until it is made.")
    expires_at: datetime = Field(description="When the URLs end; ask again for new ones.")
    rejection: Rejection | None = Field(description="Set when the asset is `rejected`.")

    @classmethod
    def of(cls, row: AssetRow, links: Links, **more: Any) -> Self:
        """The view of a row."""
        rejection = None
        if row.rejection_code is not None:
            rejection = Rejection(code=row.rejection_code, detail=row.rejection_detail)
        return cls(
            id=row.id,
            source=row.source,
            state=row.state,
            job_id=row.job_id,
            item=row.item,
            media_type=row.media_type,
            width=row.width,
            height=row.height,
            size=row.size,
            sha256=row.sha256,
            fallback=row.fallback,
            late=row.late,
            created_at=row.created_at,
            url=links.original(row),
            thumbnail_url=links.thumbnail(row),
            expires_at=links.expiry(),
            rejection=rejection,
            **more,
        )


class AssetDetail(Asset):
    """A picture and how it was made."""

    recipe: dict[str, Any] | None = Field(
        description="How it was made: model, parameters, hashes of the inputs. Null for an upload."
    )
