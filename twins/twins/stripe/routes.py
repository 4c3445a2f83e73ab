"""HTTP of the Stripe API: authentication, versions, idempotency keys, fault scripts, and one route per operation."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote_plus
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from twins.calls import Call
from twins.faults import Fault, UnknownFaultError
from twins.state import State, Twins
from twins.stripe import errors, form
from twins.stripe.account import API_VERSION, Account, Answer, Change, Object
from twins.stripe.errors import StripeError
from twins.stripe.operations import OPERATIONS, Operation
from twins.stripe.params import read
from twins.stripe.views import render
from twins.wire import DropConnection, NeverAnswer, TruncatedAnswer

VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?")

router = APIRouter(prefix="/stripe", tags=["stripe"])


@dataclass(frozen=True)
class Incoming:
    """A request that has been read and whose sender is known."""

    method: str
    path: str
    text: str  # query or form, as it came
    account: Account
    api_key: str
    request_id: str
    idempotency_key: str | None
    pages_url: str
    operation: Operation
    ids: tuple[str, ...]  # of the path

    @property
    def params_sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def _endpoint(operation: Operation) -> Callable[[Request, State], Awaitable[Response]]:
    async def answer(request: Request, twins: Twins) -> Response:
        request_id = f"req_{uuid4().hex[:14]}"
        try:
            response = await _answer(twins, await _read(request, twins, request_id, operation))
        except StripeError as error:
            response = error.response()
        response.headers.setdefault("request-id", request_id)
        response.headers["stripe-version"] = request.headers.get("stripe-version", API_VERSION)
        if key := request.headers.get("idempotency-key"):
            response.headers["idempotency-key"] = key
        return response

    return answer


for _operation in OPERATIONS:
    _name = f"{_operation.method} {_operation.path}"
    router.add_api_route(_operation.path, _endpoint(_operation), methods=[_operation.method], name=_name)


@router.api_route("/v1/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def unknown_url(request: Request, path: str) -> Response:
    return errors.unknown_url(request.method, f"/v1/{path}").response()


async def _read(request: Request, twins: State, request_id: str, operation: Operation) -> Incoming:
    api_key = _api_key(request)
    version = request.headers.get("stripe-version", API_VERSION)
    if not VERSION.fullmatch(version):
        raise errors.unknown_version(version)
    posted = request.method == "POST"
    key = request.headers.get("idempotency-key") if posted else None
    if key is not None and len(key) > 255:
        raise errors.invalid("Idempotency keys can be up to 255 characters in length.")
    return Incoming(
        method=request.method,
        path=request.url.path.removeprefix(router.prefix),
        text=(await request.body()).decode() if posted else request.url.query,
        account=twins.stripe.of_key(api_key),
        api_key=api_key,
        request_id=request_id,
        idempotency_key=key,
        pages_url=f"{str(request.base_url).rstrip('/')}{router.prefix}",
        operation=operation,
        ids=tuple(request.path_params.values()),
    )


def _api_key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise errors.missing_key()
    if not key.startswith(("sk_", "rk_")) or key.startswith(("sk_invalid", "sk_test_invalid")):
        raise errors.incorrect_key(key)
    return key.strip()


async def _answer(twins: State, incoming: Incoming) -> Response:
    prompt = f"{incoming.method} {incoming.path}\n{unquote_plus(incoming.text)}"
    call = twins.calls.begin(
        provider="stripe",
        endpoint=f"{incoming.method} {incoming.operation.path}",
        model="",
        api_key=incoming.api_key,
        prompt=prompt,
        idempotency_key=incoming.idempotency_key,
        request_id=incoming.request_id,
        images=0,
    )
    try:
        fault = _fault(twins, call, prompt)
        refusal = _refusal(fault)
        if refusal is not None:
            status = None if isinstance(refusal, DropConnection | NeverAnswer) else refusal.status_code
            twins.calls.finish(call, status=status, paid=False, fault=fault.action if fault else None)
            return refusal
        return await _perform(twins, incoming, call, fault)
    finally:
        twins.calls.abandon(call)


async def _perform(twins: State, incoming: Incoming, call: Call, fault: Fault | None) -> Response:
    try:
        response = await _once(twins, incoming, fault)
    except StripeError as error:
        response = error.response()
    done = incoming.method != "GET" and response.status_code == 200 and "idempotent-replayed" not in response.headers
    delivered = _delivery(fault, response)
    status = None if isinstance(delivered, DropConnection | NeverAnswer) else response.status_code
    twins.calls.finish(call, status=status, paid=done, fault=fault.action if fault else None)
    return delivered


async def _once(twins: State, incoming: Incoming, fault: Fault | None) -> JSONResponse:
    """Run the operation, unless its idempotency key has an answer already."""
    account, key = incoming.account, incoming.idempotency_key
    if key is not None and (stored := account.answers.get(key)):
        return _replay(incoming, stored)
    if key is not None and key in account.busy_keys:
        raise errors.key_in_use(key)
    busy = {key} if key is not None else set()
    account.busy_keys |= busy
    try:
        if fault is not None and fault.action == "delay":
            await asyncio.sleep(int(fault.argument or 0) / 1000)
        return JSONResponse(_run(twins, incoming))
    finally:
        account.busy_keys -= busy


def _run(twins: State, incoming: Incoming) -> Object:
    operation = incoming.operation
    params = read(operation.params, form.decode(incoming.text))
    with twins.stripe.change(
        incoming.account,
        request_id=incoming.request_id,
        idempotency_key=incoming.idempotency_key,
        pages_url=incoming.pages_url,
    ) as change:
        try:
            body = render(change, operation.run(change, params, *incoming.ids), params.expand)
        except StripeError as error:
            if error.status == 402:
                _remember(change, incoming, 402, error.body)
            raise
        _remember(change, incoming, 200, body)
        return body


def _remember(change: Change, incoming: Incoming, status: int, body: Object) -> None:
    """What a failed validation answers is not kept: the same key may be used again with the fault mended."""
    if incoming.idempotency_key is not None:
        change.answer = Answer(
            key=incoming.idempotency_key,
            path=incoming.path,
            params_sha256=incoming.params_sha256,
            request_id=incoming.request_id,
            status=status,
            body=body,
            at=change.now,
        )


def _replay(incoming: Incoming, stored: Answer) -> JSONResponse:
    if stored.path != incoming.path:
        raise errors.other_endpoint(stored.key, stored.path)
    if stored.params_sha256 != incoming.params_sha256:
        raise errors.other_parameters(stored.key)
    headers = {"idempotent-replayed": "true", "original-request": stored.request_id}
    return JSONResponse(stored.body, status_code=stored.status, headers=headers)


def _fault(twins: State, call: Call, prompt: str) -> Fault | None:
    try:
        return twins.faults.claim(call, prompt)
    except UnknownFaultError as error:
        raise errors.invalid(str(error), code="unknown_twin_fault") from error


def _refusal(fault: Fault | None) -> Response | None:
    """What the caller gets instead of any work; None when the work is done all the same."""
    if fault is None:
        return None
    match fault.action:
        case "drop":
            return DropConnection()
        case "timeout":
            return NeverAnswer()
        case "delay" | "drop-after-success" | "timeout-after-success" | "truncated" | "garbage":
            return None
    return (errors.from_fault(fault) or errors.not_for_stripe(fault)).response()


def _delivery(fault: Fault | None, answer: JSONResponse) -> Response:
    """How the finished work reaches the caller."""
    match fault.action if fault else None:
        case "drop-after-success":
            return DropConnection()
        case "timeout-after-success":
            return NeverAnswer()
        case "truncated":
            return TruncatedAnswer(bytes(answer.body), media_type="application/json")
        case "garbage":
            return Response(b'{"id": "cs_<html>', media_type="application/json")
    return answer
