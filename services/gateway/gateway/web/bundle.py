"""The page's static files, held in memory and addressed by one hash of their content.

The hash is a folder (``/static/<hash>/studio.js``), so that modules that import each other by relative names, and
styles that name fonts, stay inside one version, and browsers may keep everything for ever.
"""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

PACKED = frozenset({".css", ".js", ".svg", ".txt"})
FOREVER = "public, max-age=31536000, immutable"
MEDIA_TYPES = {".js": "text/javascript", ".woff2": "font/woff2", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, and the same packed when that makes sense."""

    media_type: str
    content: bytes
    packed: bytes | None


class Bundle:
    """All static files of one version."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        digest = hashlib.sha256()
        for name, content in sorted(contents.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        self.version = digest.hexdigest()[:12]
        self._files = {name: _static_file(name, content) for name, content in contents.items()}

    @classmethod
    def load(cls) -> "Bundle":
        """The files of this package."""
        return cls(dict(_walk(files("gateway.web") / "static", "")))

    def url(self, name: str) -> str:
        """Where a file is served. Raises KeyError when there is none of this name."""
        if name not in self._files:
            raise KeyError(f"there is no static file {name!r}")
        return f"/static/{self.version}/{name}"

    def make_router(self) -> APIRouter:
        """The route that serves them."""
        router = APIRouter(include_in_schema=False)

        @router.get("/static/{version}/{name:path}")
        async def send_file(version: str, name: str, request: Request) -> Response:
            file = self._files.get(name)
            if file is None:
                raise HTTPException(404, "There is no such file.")
            # the page of another version, during an update: it gets today's file but must not keep it by that name
            cache = FOREVER if version == self.version else "no-cache"
            headers = {"Cache-Control": cache, "Vary": "Accept-Encoding"}
            if file.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
                headers["Content-Encoding"] = "gzip"
                return Response(file.packed, media_type=file.media_type, headers=headers)
            return Response(file.content, media_type=file.media_type, headers=headers)

        return router


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        found += _walk(entry, f"{name}/") if entry.is_dir() else [(name, entry.read_bytes())]
    return found


def _static_file(name: str, content: bytes) -> StaticFile:
    suffix = name[name.rfind(".") :]
    media_type = MEDIA_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    packed = gzip.compress(content, 9, mtime=0) if suffix in PACKED else None
    return StaticFile(media_type, content, packed)
