"""RFC 9457 problem details: every error of every service has a stable code, says what was wrong and what to do."""

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Scope

from kit.database import is_transient
from kit.places import NoPlaceError

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
COME_AGAIN = {"Retry-After": "2"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
CODES = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    429: "rate_limited",
}
Responses = dict[int | str, dict[str, Any]]
"""What a route answers besides its model, for its description."""


class Problem(Exception):  # noqa: N818 - the term of RFC 9457
    """An error that the caller is told. ``extra`` members stand beside the standard ones.

    ``excuse`` tells metrics why an error of 500 and above is no fault of the service: ``busy``, it has too much to do;
    ``unset``, its operator has not set up what was asked for.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        excuse: str = "",
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.excuse = excuse
        self.extra = extra


def route_of(scope: Scope) -> str:
    """The template of a request's route, for logs, traces and metrics: a path may hold a ticket that is still valid."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def response(request: Request, problem: Problem) -> JSONResponse:
    """The HTTP response of a problem."""
    request.state.excuse = problem.excuse
    body = {
        "type": f"urn:atelier:problem:{problem.code}",
        "title": problem.code.replace("_", " ").capitalize(),
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "instance": request.url.path,
        "request_id": getattr(request.state, "request_id", None),
        **problem.extra,
    }
    return JSONResponse(body, problem.status, media_type=MEDIA_TYPE, headers=problem.headers)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem."""
    app.add_exception_handler(Exception, _unexpected)

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> JSONResponse:
        return response(request, error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return response(request, invalid(error.errors()))

    @app.exception_handler(ClientDisconnect)
    async def _broken_off(request: Request, _: ClientDisconnect) -> JSONResponse:
        return response(request, Problem(400, "bad_request", "The body was broken off."))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        code = CODES.get(error.status_code, f"http_{error.status_code}")
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_allowed_methods(request))
        return response(request, Problem(error.status_code, code, str(error.detail), headers=headers))


def _allowed_methods(request: Request) -> list[str]:
    """Of all routes on this path; the framework names those of the first one alone."""
    routes = request.app.routes
    return [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def unexpected(request: Request, error: Exception) -> Response:
    """The answer to an error that nobody expected; for the outermost middleware, which alone sees them all."""
    handler = request.app.exception_handlers[Exception]
    answer: Response = await handler(request, error)
    return answer


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    if is_transient(error):
        log.warning("request.delayed", route=route_of(request.scope), reason=repr(error))
        detail = "A server this request needs is away. Nothing was lost; try again shortly."
        excuse = "busy" if isinstance(error, NoPlaceError) else ""
        return response(request, Problem(503, "temporarily_unavailable", detail, headers=COME_AGAIN, excuse=excuse))
    log.error("request.failed", route=route_of(request.scope), exc_info=error)
    return response(request, Problem(500, "internal_error", "Something went wrong on our side; it has been logged."))


def invalid(errors: Sequence[Any]) -> Problem:
    """A 422 that names each field at fault; input is never echoed."""
    if any(error["type"] == "json_invalid" for error in errors):
        return Problem(400, "invalid_json", "The body is not valid JSON.")
    faults = [
        {
            "field": ".".join(str(part) for part in error["loc"] if part not in {"body", "query", "path", "header"}),
            "message": error["msg"],
            "code": error["type"],
        }
        for error in errors
    ]
    summary = "; ".join(f"{fault['field'] or 'body'}: {fault['message']}" for fault in faults)
    return Problem(422, "invalid_request", summary, errors=faults)


def insufficient_scope(needed: str) -> Problem:
    """403: the credentials may not do this."""
    return Problem(403, "insufficient_scope", f"This API key lacks the scope {needed!r}.", needed=needed)


def too_many_uploads(most: int) -> Problem:
    """429: so many long bodies of the account are on their way."""
    detail = f"{most} uploads of your account are on their way; send the next one when one of them is answered."
    return Problem(429, "too_many_uploads", detail, headers=COME_AGAIN)


def upload_stalled() -> Problem:
    """408: no more of a long body came. The connection is of no use for another request."""
    return Problem(408, "upload_stalled", "The upload stood still; send it again.", headers={"Connection": "close"})
