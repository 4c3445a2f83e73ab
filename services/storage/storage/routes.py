"""HTTP in: the caller's library, signed links, and uploads."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from kit import idempotency
from kit.database import Database, ReadSession
from kit.http import ReadDep
from kit.idempotency import Fingerprint, KeyHeader
from kit.identity import CallerDep
from kit.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, decode_cursor, page
from kit.problems import Responses
from shared.ids import AssetId, JobId
from storage.errors import asset_not_available
from storage.forms import PICTURE_FORM, read_picture
from storage.library import Links, get_asset, list_assets
from storage.schemas import Asset, AssetDetail, Source, Variant
from storage.uploads import MAX_BYTES, Uploads

JobQuery = Annotated[JobId | None, Query(description="Only what this job made.")]
SourceQuery = Annotated[Source | None, Query(description="Only what came this way.")]
VariantQuery = Annotated[Variant, Query(description="A thumbnail that is not made yet is answered by the original.")]

NOT_FOUND: Responses = {404: {"description": "The caller's library has no such asset."}}
NOT_STORED: Responses = {409: {"description": "The asset is not stored, so it has no content."}}
UPLOAD_REFUSED: Responses = {
    408: {"description": "No more of the body came for a while."},
    409: {"description": "The Idempotency-Key was used with another picture."},
    413: {"description": "The picture is larger than 10 MiB."},
    415: {"description": "The content is not a JPEG, PNG or WebP picture."},
    429: {"description": "Too many uploads of the account at a time."},
    503: {
        "description": "Too many uploads of all accounts; nothing was kept. `Retry-After` says when to send it again."
    },
}


def make_router(db: Database, links: Links, uploads: Uploads) -> APIRouter:
    """The routes of storage."""
    router = APIRouter(prefix="/v1", tags=["assets"])

    @router.get("/assets", summary="List assets")
    async def list_library(
        *,
        caller: CallerDep,
        session: ReadDep,
        job_id: JobQuery = None,
        source: SourceQuery = None,
        limit: LimitQuery = DEFAULT_LIMIT,
        cursor: CursorQuery = None,
    ) -> Page[Asset]:
        """The caller's stored pictures, newest first, with signed URLs."""
        before = decode_cursor(cursor, str)
        rows = await list_assets(
            session, account_id=caller.account_id, job_id=job_id, source=source, before=before, limit=limit + 1
        )
        assets = [Asset.of(row, links) for row in rows]
        return page(assets, limit, position=lambda asset: asset.id)

    @router.get("/assets/{asset_id}", summary="Read an asset", responses=NOT_FOUND)
    async def read_asset(asset_id: AssetId, caller: CallerDep, session: ReadDep) -> AssetDetail:
        """One picture: what it is, how it was made, and signed URLs of it."""
        return await _describe(session, links, account_id=caller.account_id, asset_id=asset_id)

    @router.get(
        "/assets/{asset_id}/content",
        summary="Fetch the bytes of an asset",
        status_code=307,
        response_class=RedirectResponse,
        responses={**NOT_FOUND, **NOT_STORED},
    )
    async def fetch_content(
        asset_id: AssetId, caller: CallerDep, session: ReadDep, variant: VariantQuery = "original"
    ) -> RedirectResponse:
        """Redirects to a signed URL, so that a plain `<img>` can show the picture."""
        row = await get_asset(session, account_id=caller.account_id, asset_id=asset_id)
        original, thumbnail = links.original(row), links.thumbnail(row)
        if original is None:
            raise asset_not_available(row.state)
        if variant == "original":
            return _redirect(original, cache=links.lifetime / 2)
        return _redirect(thumbnail or original, cache=links.lifetime / 2 if thumbnail else timedelta(0))

    @router.post(
        "/uploads",
        summary="Upload a picture",
        status_code=201,
        responses=UPLOAD_REFUSED,
        openapi_extra=PICTURE_FORM,
    )
    async def upload_picture(
        request: Request, caller: CallerDep, response: Response, idempotency_key: KeyHeader = None
    ) -> AssetDetail:
        """Keeps the pixels of a picture: upright, in sRGB, without metadata, the first frame of an animation."""
        announced = int(request.headers.get("Content-Length", 0))
        with uploads.turn(caller.account_id, announced=announced) as hold:
            data = await read_picture(request, max_bytes=MAX_BYTES, received=hold)
            use = idempotency.use_of(idempotency_key, account_id=caller.account_id, operation="upload", body=data)
            asset_id, replayed = await _take_in(db, uploads, data, account_id=caller.account_id, use=use)
        if replayed:
            response.headers["Idempotent-Replay"] = "true"
        response.headers["Location"] = f"/v1/assets/{asset_id}"
        async with db.place(of=caller.account_id), db.read() as session:
            return await _describe(session, links, account_id=caller.account_id, asset_id=asset_id)

    return router


async def _describe(session: ReadSession, links: Links, *, account_id: str, asset_id: str) -> AssetDetail:
    row = await get_asset(session, account_id=account_id, asset_id=asset_id)
    return AssetDetail.of(row, links, recipe=row.recipe)


async def _take_in(
    db: Database, uploads: Uploads, data: bytes, *, account_id: str, use: Fingerprint | None
) -> tuple[str, bool]:
    """The id of the asset, and whether it is that of an earlier request. No transaction is open while S3 is called."""
    if use is not None:
        async with db.place(of=account_id), db.read() as session:
            earlier = await idempotency.find(session, use)
        if earlier is not None:
            return str(earlier["asset_id"]), True
    upload = await uploads.put(data, account_id=account_id)
    async with db.place(of=account_id), db.write() as session:
        asset_id = await uploads.keep(session, upload=upload, use=use)
    if asset_id == upload.asset_id:
        return asset_id, False
    await uploads.discard(upload)  # another request with this key was faster
    return asset_id, True


def _redirect(url: str, *, cache: timedelta) -> RedirectResponse:
    """A browser may remember where the bytes are while the signed URL is good."""
    headers = {"Cache-Control": f"private, max-age={int(cache.total_seconds())}"}
    return RedirectResponse(url, 307, headers=headers)
