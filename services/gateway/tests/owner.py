"""A service that gateway passes requests on to."""

import asyncio

from fastapi import FastAPI, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from kit import problems
from kit.identity import CallerDep, Verifier
from kit.problems import Problem
from kit.testing import IDENTITY


class Owner:
    """A service that believes gateway's token alone and tells what reached it."""

    def __init__(self, name: str, *, audience: str | None = None) -> None:
        self.app = FastAPI(docs_url=None)
        self.app.state.service = self
        self.verifier = Verifier(IDENTITY.public_key, audience=audience or name)
        self.requests = []
        self.go = asyncio.Event()  # for the answers that take long
        problems.install(self.app)
        self._add_slow_routes()
        self._add_a_fault()
        self._add_routes()

    def _add_routes(self) -> None:
        @self.app.middleware("http")
        async def note(request: Request, go_on):
            self.requests.append(request)
            return await go_on(request)

        @self.app.get("/v1/prices")
        async def prices() -> dict[str, str]:
            return {"version": "1"}

        @self.app.get("/v1/assets/{name}/content")
        async def content(name: str, caller: CallerDep) -> Response:
            return RedirectResponse(f"https://files.example/{name}?signature=1", 307)

        @self.app.post("/v1/uploads")
        async def upload(request: Request, caller: CallerDep) -> Response:
            body = await request.body()
            return Response(str(len(body)), 201, headers={"Location": "/v1/assets/1", "Set-Cookie": "a=b"})

        @self.app.get("/v1/assets/stream")
        async def stream(caller: CallerDep) -> Response:
            async def parts():
                for _ in range(3):
                    yield b"part"

            return StreamingResponse(parts(), media_type="application/x-parts", headers={"Keep-Alive": "5"})

        @self.app.api_route("/{path:path}", methods=["GET", "POST", "DELETE"])
        async def owned(path: str, request: Request, caller: CallerDep) -> dict[str, str]:
            if "foreign" in path:
                raise Problem(404, "asset_not_found", "You have no such asset.")
            return {"account_id": caller.account_id, "actor": caller.actor, "query": request.url.query}

    def _add_a_fault(self) -> None:
        @self.app.get("/v1/assets/broken")
        async def fail() -> None:
            raise Problem(500, "internal_error", "no")

    def _add_slow_routes(self) -> None:
        @self.app.get("/v1/prices/slow")
        @self.app.get("/v1/assets/slow")
        async def answer_slowly() -> dict[str, str]:
            await self.go.wait()
            return {}

        @self.app.get("/v1/assets/long")
        async def answer_at_length() -> Response:
            async def parts():
                yield b"part"
                await self.go.wait()

            return StreamingResponse(parts())
