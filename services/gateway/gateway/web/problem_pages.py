"""Errors for people: where a browser asked for a page, a problem is told in the house's style instead of JSON."""

import json

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.web.pages import Pages
from kit.problems import MEDIA_TYPE

NO_PAGE = ("This frame is empty", "There is no such page. The link may be old, or the picture another person's.")
AWAY = ("One moment", "A part of the studio is away. Nothing was lost; try again shortly.")
WORDS = {404: NO_PAGE, 422: NO_PAGE, 503: AWAY}
OTHERWISE = "That did not work"


class ProblemPages:
    """Replaces problems by pages, on every path but those of the API."""

    def __init__(self, app: ASGIApp, pages: Pages) -> None:
        self._app = app
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _wants_page(scope):
            await self._app(scope, receive, send)
            return
        problem: Message | None = None
        body = b""

        async def send_page(message: Message) -> None:
            nonlocal problem, body
            if message["type"] == "http.response.start" and _is_problem(message):
                problem = message
            elif problem is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    await self._page(problem, body)(scope, receive, send)

        await self._app(scope, receive, send_page)

    def _page(self, problem: Message, body: bytes) -> Response:
        told = json.loads(body)
        title, sentence = WORDS.get(problem["status"], (OTHERWISE, told["detail"]))
        page = self._pages.render(
            "problem.html", status=problem["status"], title=title, sentence=sentence, request_id=told["request_id"]
        )
        for name, value in Headers(raw=problem["headers"]).items():
            if name not in {"content-length", "content-type"}:
                page.headers.setdefault(name, value)
        return page


def _wants_page(scope: Scope) -> bool:
    return not scope["path"].startswith("/v1/") and "text/html" in Headers(scope=scope).get("Accept", "")


def _is_problem(message: Message) -> bool:
    return Headers(raw=message["headers"]).get("Content-Type") == MEDIA_TYPE
