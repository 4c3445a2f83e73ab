"""The API's documents: ``/openapi.json``, and ``/docs`` by Swagger UI from an installed package, without a CDN."""

from importlib.resources import files
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from gateway.auth import OpenToAll
from gateway.openapi import PublicApi
from kit.problems import Problem

ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI writes style attributes, hence inline styles; there are no inline scripts."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Atelier API</title>
  <link rel="icon" href="/docs/favicon.png">
  <link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
  <div id="docs"></div>
  <noscript>The document itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
  <script src="/docs/swagger-ui-bundle.js"></script>
  <script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null,
});
"""


def make_router(api: PublicApi) -> APIRouter:
    """The routes of the documents."""
    router = APIRouter(include_in_schema=False, dependencies=[OpenToAll])
    folder = Path(str(files(fastapi_offline) / "static"))

    @router.get("/openapi.json")
    async def openapi(request: Request) -> Response:
        return Response(await api.document(request.app), media_type="application/json")

    @router.get("/docs")
    async def page() -> Response:
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": POLICY})

    @router.get("/docs/start.js")
    async def start() -> Response:
        return Response(_START, media_type="text/javascript")

    @router.get("/docs/{name}")
    async def asset(name: str) -> Response:
        if name not in ASSETS:
            raise Problem(404, "not_found", "There is no such file.")
        return FileResponse(folder / name, media_type=ASSETS[name], headers={"Cache-Control": "public, max-age=86400"})

    return router
