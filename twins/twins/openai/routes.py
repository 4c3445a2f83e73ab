"""HTTP of the OpenAI twin: authentication, standard headers, the two resources, and where faults take effect."""

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse, Response

from twins.art.flat import flat
from twins.art.spec import PictureSpec
from twins.calls import Call
from twins.faults import Fault, UnknownFaultError
from twins.openai import errors, limits, models
from twins.openai.order import ImageOrder, read_order
from twins.openai.usage import odd_usage, usage
from twins.state import State, Twins
from twins.wire import DropConnection, NeverAnswer, TruncatedAnswer

NOT_AN_IMAGE = b"This is not an image."
MEBIBYTE = 1024 * 1024


class OpenAIRoute(APIRoute):
    """Gives every answer the provider's standard headers, and every error the provider's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_as_provider(request: Request) -> Response:
            started = time.monotonic()
            request.state.request_id = f"req_{uuid4().hex}"
            try:
                response = await handle(request)
            except errors.OpenAIError as error:
                response = error.response()
            response.headers["x-request-id"] = request.state.request_id
            response.headers["openai-version"] = "2020-10-01"
            response.headers["openai-processing-ms"] = str(round((time.monotonic() - started) * 1000))
            response.headers.update(limits.headers(request.headers.get("authorization", "")))
            return response

        return handle_as_provider


router = APIRouter(prefix="/openai/v1", route_class=OpenAIRoute)


@router.get("/models")
async def list_models(request: Request) -> dict[str, Any]:
    _api_key(request)
    return {"object": "list", "data": [model.as_json() for model in models.offered()]}


@router.get("/models/{model_id}")
async def retrieve_model(request: Request, model_id: str) -> dict[str, Any]:
    _api_key(request)
    return models.find(model_id).as_json()


@router.post("/images/generations")
async def generate_images(request: Request, twins: Twins) -> Response:
    api_key = _api_key(request)
    order = read_order(await request.body())
    call = twins.calls.begin(
        provider="openai",
        endpoint="images.generate",
        model=order.model.id,
        api_key=api_key,
        prompt=order.prompt,
        idempotency_key=request.headers.get("idempotency-key"),
        request_id=request.state.request_id,
        images=order.count,
    )
    try:
        return await _answer(twins, call, order)
    finally:
        twins.calls.abandon(call)


@router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def unknown_url(request: Request, path: str) -> Response:
    raise errors.OpenAIError(404, f"Invalid URL ({request.method} /v1/{path})")


async def _answer(twins: State, call: Call, order: ImageOrder) -> Response:
    try:
        fault = twins.faults.claim(call, order.prompt)
    except UnknownFaultError as error:
        raise errors.OpenAIError(400, str(error), param="prompt", code="unknown_twin_fault") from error
    action = fault.action if fault else None
    if fault is not None:
        refusal = _refusal(fault, call)
        if refusal is not None:
            status = None if isinstance(refusal, (DropConnection, NeverAnswer)) else refusal.status_code
            twins.calls.finish(call, status=status, paid=False, fault=action)
            return refusal
        if fault.action == "delay":
            await asyncio.sleep(int(fault.argument or 0) / 1000)

    pictures = await _pictures(twins, order, call.idempotency_key, fault)
    answered = action not in ("drop-after-success", "timeout-after-success")
    twins.calls.finish(
        call,
        status=200 if answered else None,
        paid=True,
        fault=action,
        pictures=tuple(hashlib.sha256(picture).hexdigest() for picture in pictures),
    )
    return _delivery(action, _images_response(order, pictures, fault))


def _refusal(fault: Fault, call: Call) -> Response | None:
    """What the caller gets instead of any work; None when the work is done all the same."""
    if fault.action == "drop":
        return DropConnection()
    if fault.action == "timeout":
        return NeverAnswer()
    error = errors.from_fault(fault, call.model, call.request_id)
    return error.response() if error else None


def _delivery(action: str | None, answer: JSONResponse) -> Response:
    """How the finished work reaches the caller."""
    match action:
        case "drop-after-success":
            return DropConnection()
        case "timeout-after-success":
            return NeverAnswer()
        case "truncated":
            return TruncatedAnswer(bytes(answer.body), media_type="application/json")
        case "garbage":
            return Response(b'{"created": 17635\x00\xff<html>', media_type="application/json")
    return answer


async def _pictures(twins: State, order: ImageOrder, idempotency_key: str | None, fault: Fault | None) -> list[bytes]:
    specs = order.specs(idempotency_key)
    if fault is not None and fault.action == "wrong-content":
        return [NOT_AN_IMAGE for _ in specs]
    if fault is not None and fault.action == "wrong-size":
        specs = [_resized(spec, fault.argument) for spec in specs]
    if twins.art == "flat" or (fault is not None and fault.action == "flat"):
        pictures = [flat(spec) for spec in specs]
    else:
        pictures = list(await asyncio.gather(*(twins.studio.picture(spec) for spec in specs)))
    if fault is not None and fault.action == "padded":
        pictures = [picture + bytes(int(fault.argument or 1) * MEBIBYTE) for picture in pictures]
    return pictures


def _resized(spec: PictureSpec, size: str | None) -> PictureSpec:
    width, height = (int(edge) for edge in size.split("x")) if size else (spec.width // 2, spec.height // 2)
    return replace(spec, width=max(width, 1), height=max(height, 1))


def _images_response(order: ImageOrder, pictures: list[bytes], fault: Fault | None) -> JSONResponse:
    told = odd_usage(order, fault.argument) if fault is not None and fault.action == "odd-usage" else usage(order)
    return JSONResponse(
        {
            "created": int(time.time()),
            "background": order.background,
            "data": [{"b64_json": base64.b64encode(picture).decode()} for picture in pictures],
            "output_format": order.format,
            "quality": order.quality,
            "size": f"{order.width}x{order.height}",
            "usage": told,
        }
    )


def _api_key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise errors.missing_key()
    if key.startswith("sk-invalid"):
        raise errors.incorrect_key(key)
    return key.strip()
