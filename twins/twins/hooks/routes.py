"""HTTP of the webhook receiver under `/hooks/{inbox}`."""

import asyncio
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, HTTPException, Path, Request
from starlette.responses import HTMLResponse, Response

from twins.hooks.inbox import InboxConfig
from twins.pages.render import page
from twins.state import Twins

MAX_BODY_BYTES = 1024 * 1024

router = APIRouter(prefix="/hooks/{inbox}", tags=["hooks"])
InboxName = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]

log = structlog.get_logger()


@router.post("")
async def receive(request: Request, twins: Twins, inbox: InboxName) -> Response:
    body = await _body(request)
    message = twins.inboxes.receive(inbox, {name.lower(): value for name, value in request.headers.items()}, body)
    log.info("webhook.received", inbox=inbox, verdict=message.verdict, answered=message.answered)
    await asyncio.sleep(twins.inboxes.get(inbox).config.respond.delay_ms / 1000)
    return Response(status_code=message.answered)


@router.put("/config")
async def configure(twins: Twins, inbox: InboxName, config: InboxConfig) -> InboxConfig:
    twins.inboxes.configure(inbox, config)
    return config


@router.get("/messages")
async def list_messages(twins: Twins, inbox: InboxName) -> dict[str, Any]:
    return twins.inboxes.get(inbox).as_json()


@router.delete("", status_code=204)
async def delete(twins: Twins, inbox: InboxName) -> None:
    twins.inboxes.delete(inbox)


@router.get("")
async def show(twins: Twins, inbox: InboxName) -> HTMLResponse:
    return page("inbox.html", inbox=twins.inboxes.get(inbox))


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"a webhook body may have {MAX_BODY_BYTES} bytes at most")
    return bytes(body)
