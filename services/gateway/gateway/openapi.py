"""One OpenAPI document of the whole public API: gateway's own routes and those that other services own.

The owners' documents are fetched from them and remembered; a service that is away keeps the routes it was last known
to have. Whatever the source, every operation gets the same credentials and the same problem details.
"""

import asyncio
import copy
import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import structlog
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from gateway.auth import SAFE_METHODS
from gateway.owners import Owner, OwnerClient
from gateway.schemas import NewJob, NewKey
from gateway.sessions import COOKIE
from kit import idempotency, problems

log = structlog.get_logger()

FRESH_SECONDS = 60.0
RETRY_SECONDS = 5.0
FETCH_TIMEOUT_SECONDS = 2.0

Document = dict[str, Any]

NEEDS_MANAGE = "The credentials do not allow this: they need the scope `manage`."

_REF = "#/components/schemas/{model}"
_SECURITY_SCHEMES = {
    "apiKey": {"type": "http", "scheme": "bearer", "bearerFormat": "atl_<prefix>_<secret>"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "The page's session; changes must come from the page itself.",
    },
}
_TAGS = {
    "jobs": "Ask for media, watch it being made, see everything that happened.",
    "account": "Who you are, and your API keys.",
    "credits": "Your wallet, every movement of it, and the prices.",
    "quotes": "The exact price of jobs before you ask for them.",
    "spend limits": "Caps on what may be spent in a day or a month, and alerts.",
    "payments": "Packs of credits, plans, and your subscription.",
    "assets": "Your pictures: made or uploaded.",
    "deliveries": "Outcomes that were posted to your webhooks.",
    "models": "What pictures are made with.",
}
_ALWAYS = {
    401: "There are no valid credentials.",
    403: "The credentials do not allow this.",
    429: "Too many requests; `Retry-After` says when to go on.",
    503: "A server that this request needs is away; try again shortly.",
}
_WITH_BODY = {
    400: "The body cannot be read.",
    413: "The body is too large.",
    415: "The body is of another media type.",
    422: "The request is not valid; `errors` names each field at fault.",
}
_WITH_PARAMETERS = {422: _WITH_BODY[422]}
_WITH_ID = {404: "There is no such thing, or it is not yours."}


class Fault(BaseModel):
    """One field of a request that is not valid."""

    field: str = Field(description="Where, such as `input.prompt`; empty for the body itself.")
    message: str
    code: str


class ProblemDetails(BaseModel):
    """An error, after RFC 9457. Further members depend on the code."""

    model_config = ConfigDict(title="Problem", extra="allow")

    type: str = Field(examples=["urn:atelier:problem:insufficient_credits"])
    title: str
    status: int
    code: str = Field(description="Stable; decide by this.", examples=["insufficient_credits"])
    detail: str = Field(description="What was wrong and what to do, for people.")
    instance: str = Field(description="Path of the request.")
    request_id: str | None = Field(description="Quote it when you ask for help.")
    errors: list[Fault] | None = Field(default=None, description="Each field at fault.")


class PublicApi:
    """The merged document."""

    def __init__(self, owners: Sequence[Owner], client: OwnerClient) -> None:
        self._owners = owners
        self._client = client
        self._known: dict[str, Document] = {}
        self._next_fetch: dict[str, float] = {}
        self._merging = asyncio.Lock()
        self._text = b""
        self._merged_until = 0.0

    async def document(self, app: FastAPI) -> bytes:
        """The document as JSON, at most some seconds old: merging is too much work for each request."""
        async with self._merging:
            if time.monotonic() >= self._merged_until:
                await asyncio.gather(*(self._refresh(owner) for owner in self._owners))
                self._text = json.dumps(self._merge(app), ensure_ascii=False, separators=(",", ":")).encode()
                self._merged_until = time.monotonic() + RETRY_SECONDS
        return self._text

    def _merge(self, app: FastAPI) -> Document:
        merged = _frame(app)
        _add(merged, app.openapi(), paths=("/v1",), service="gateway", managed=("/v1/api-keys",))
        for owner in self._owners:
            if (known := self._known.get(owner.name)) is not None:
                _add(
                    merged,
                    known,
                    paths=owner.paths,
                    service=owner.name,
                    open_to_all=owner.open_to_all,
                    managed=owner.managed,
                )
        return merged

    async def _refresh(self, owner: Owner) -> None:
        if time.monotonic() < self._next_fetch.get(owner.name, 0.0):
            return
        self._next_fetch[owner.name] = time.monotonic() + RETRY_SECONDS
        try:
            document = await self._client.get_json(owner, "/openapi.json", seconds=FETCH_TIMEOUT_SECONDS)
        except (httpx2.HTTPError, ValueError) as error:
            log.warning("openapi.incomplete", owner=owner.name, reason=repr(error))
            return
        if isinstance(document, dict):
            self._known[owner.name] = document
            self._next_fetch[owner.name] = time.monotonic() + FRESH_SECONDS


def _frame(app: FastAPI) -> Document:
    """The document without any path."""
    _, definitions = models_json_schema(
        [(model, "validation") for model in (NewJob, NewKey, ProblemDetails, Fault)], ref_template=_REF
    )
    return {
        "openapi": app.openapi_version,
        "info": {"title": "Atelier", "version": app.version, "description": app.description},
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": {},
        "components": {"schemas": definitions["$defs"], "securitySchemes": _SECURITY_SCHEMES},
    }


def _add(
    merged: Document,
    document: Document,
    *,
    paths: tuple[str, ...],
    service: str,
    open_to_all: tuple[str, ...] = (),
    managed: tuple[str, ...] = (),
) -> None:
    """Add the public paths of one service's document, with the schemas they need."""
    source = copy.deepcopy(document)
    public = {path: item for path, item in source.get("paths", {}).items() if _is_under(path, paths)}
    for path, item in public.items():
        for method, operation in item.items():
            _finish(operation, path=path, method=method, needs_credentials=path not in open_to_all)
            if method.upper() not in SAFE_METHODS and _is_under(path, managed):
                operation["responses"]["403"]["description"] = NEEDS_MANAGE
    _make_ids_unique(merged, public, service)
    schemas = source.get("components", {}).get("schemas", {})
    _add_schemas(merged, public, schemas, service)
    merged["paths"] |= public


def _is_under(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def _finish(operation: Document, *, path: str, method: str, needs_credentials: bool) -> None:
    """Say what holds for every operation: a short id, credentials, problem details."""
    suffix = re.sub(r"\W", "_", path) + f"_{method}"
    operation["operationId"] = operation["operationId"].removesuffix(suffix)
    operation["security"] = [{name: []} for name in _SECURITY_SCHEMES] if needs_credentials else []
    for parameter in operation.get("parameters", []):
        _describe(parameter)
    responses = operation["responses"]
    responses.pop("422", None)  # FastAPI's own form of it is not what is answered
    promised = dict(_ALWAYS) if needs_credentials else {503: _ALWAYS[503]}
    if "requestBody" in operation:
        promised |= _WITH_BODY
    if operation.get("parameters"):
        promised |= _WITH_PARAMETERS
    if "{" in path:
        promised |= _WITH_ID
    for status, description in promised.items():
        responses.setdefault(str(status), {"description": description})
    for status, response in responses.items():
        if status >= "400":
            response["content"] = {problems.MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="ProblemDetails")}}}


def _describe(parameter: Document) -> None:
    """A parameter is a text or left out, never null; every Idempotency-Key has the same form."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        parameter["schema"] = schema = {**{name: schema[name] for name in schema if name != "anyOf"}, **kinds[0]}
    if parameter["name"] == "Idempotency-Key":
        schema |= {"minLength": 1, "maxLength": idempotency.MAX_KEY_LENGTH, "pattern": idempotency.KEY_FORM}


def _make_ids_unique(merged: Document, public: Document, service: str) -> None:
    taken = {operation["operationId"] for item in merged["paths"].values() for operation in item.values()}
    for item in public.values():
        for operation in item.values():
            if operation["operationId"] in taken:
                operation["operationId"] = f"{service}_{operation['operationId']}"
            taken.add(operation["operationId"])


def _add_schemas(merged: Document, public: Document, schemas: Document, service: str) -> None:
    """Add the schemas that ``public`` needs; one whose name another service uses gets its service's name in front."""
    needed = _reachable(public, schemas)
    taken = merged["components"]["schemas"]
    renamed = {
        name: f"{service.capitalize()}{name}" for name in needed if name in taken and taken[name] != schemas[name]
    }
    for node in _nodes([public, *(schemas[name] for name in needed)]):
        name = node["$ref"].rpartition("/")[2]
        node["$ref"] = _REF.format(model=renamed.get(name, name))
    taken |= {renamed.get(name, name): schemas[name] for name in needed}


def _reachable(public: Document, schemas: Document) -> list[str]:
    """Names of the schemas that are referred to, directly or through others."""
    found: dict[str, None] = {}
    waiting: list[Any] = [public]
    while waiting:
        for node in _nodes(waiting.pop()):
            name = node["$ref"].rpartition("/")[2]
            if name in schemas and name not in found:
                found[name] = None
                waiting.append(schemas[name])
    return list(found)


def _nodes(tree: Any) -> Iterator[Document]:
    """Every object in a tree that is a reference."""
    if isinstance(tree, dict):
        if isinstance(tree.get("$ref"), str):
            yield tree
        for child in tree.values():
            yield from _nodes(child)
    elif isinstance(tree, list):
        for child in tree:
            yield from _nodes(child)
