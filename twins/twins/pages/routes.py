"""The index, its assets, the change stream that keeps pages fresh, and the probes."""

from pathlib import Path

from fastapi import APIRouter, HTTPException
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response, StreamingResponse

from twins.pages.render import page
from twins.state import Twins

STATIC = Path(__file__).parent / "static"
ASSETS = frozenset(path.name for path in STATIC.iterdir())
SHOWN_CALLS = 30
SHOWN_PICTURES = 12

router = APIRouter()


@router.get("/")
async def index(twins: Twins) -> HTMLResponse:
    return page(
        "index.html",
        report=twins.calls.report(limit=SHOWN_CALLS),
        pictures=twins.studio.latest(SHOWN_PICTURES),
        inboxes=twins.inboxes.all(),
        rules=twins.faults.rules,
        stripe_accounts=twins.stripe.all(),
        art=twins.art,
    )


@router.get("/pictures/{key}")
async def picture(twins: Twins, key: str) -> Response:
    kept = twins.studio.kept(key)
    if kept is None:
        raise HTTPException(404, "this picture is no longer in memory")
    spec, content = kept
    return Response(content, media_type=f"image/{spec.format}", headers={"Cache-Control": "max-age=86400"})


@router.get("/changes")
async def changes(twins: Twins, topic: str) -> StreamingResponse:
    return StreamingResponse(
        twins.changes.stream(topic), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


@router.get("/assets/{name}")
async def asset(name: str) -> FileResponse:
    if name not in ASSETS:
        raise HTTPException(404, f"there is no asset {name}")
    return FileResponse(STATIC / name)


@router.get("/livez")
@router.get("/readyz")
async def probe() -> PlainTextResponse:
    return PlainTextResponse("ok")
