"""The form of an upload, read by the route itself: the framework would read it before it asks who sends it.

The token that says so is good for half a minute, and a picture may take longer to arrive.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from kit.problems import invalid, upload_stalled
from storage.errors import upload_broken_off, upload_too_large

SILENCE_SECONDS = 60.0
"""Longer than gateway waits for its customer, so this ends only what a gateway has left behind."""

PICTURE_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "title": "Body_upload_picture_v1_uploads_post",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "title": "File",
                            "contentMediaType": "application/octet-stream",
                            "description": "JPEG, PNG or WebP, up to 10 MiB and 50 megapixels, a WebP 25.",
                        }
                    },
                }
            }
        },
    }
}
"""``openapi_extra`` of a route that calls :func:`read_picture`."""


async def read_picture(request: Request, *, max_bytes: int, received: Callable[[int], None]) -> bytes:
    """The content of the field ``file``; ``received`` is called with the length of each part of the body as it comes.

    Raises Problem 408, 413 or 422, HTTPException 400 or 413, or what ``received`` raises.
    """
    try:
        async with Request(request.scope, _told(_until_silent(request.receive), received)).form() as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                kind, message = ("missing", "Field required") if file is None else ("file_type", "Field must be a file")
                raise invalid([{"type": kind, "loc": ("body", "file"), "msg": message}])
            data = await file.read(max_bytes + 1)
    except TimeoutError as error:
        raise upload_stalled() from error
    except ClientDisconnect as error:
        raise upload_broken_off() from error
    if len(data) > max_bytes:
        raise upload_too_large(max_bytes)
    return data


def _until_silent(receive: Receive) -> Receive:
    async def receive_soon() -> Message:
        async with asyncio.timeout(SILENCE_SECONDS):
            return await receive()

    return receive_soon


def _told(receive: Receive, received: Callable[[int], None]) -> Receive:
    async def receive_and_tell() -> Message:
        message = await receive()
        received(len(message.get("body", b"")))
        return message

    return receive_and_tell
