"""The composition root: builds the twins and lists every group of routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from twins.calls import CallLog
from twins.changes import Changes
from twins.control import routes as control
from twins.faults import FaultScript
from twins.hooks import routes as hooks
from twins.hooks.inbox import Inboxes
from twins.journal import Journal
from twins.openai import routes as openai
from twins.pages import routes as pages
from twins.state import State
from twins.stripe import control as stripe_control
from twins.stripe import pages as stripe_pages
from twins.stripe import routes as stripe
from twins.stripe.accounts import Accounts
from twins.stripe.courier import Courier
from twins.studio import Studio


def create_app(*, data: Path | None = None, render_workers: int = 2) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        courier = Courier()
        app.state.twins = state = _build(data, render_workers, courier)
        courier.resume(state.stripe)
        yield
        await courier.close()
        state.studio.close()
        state.calls.close()
        state.inboxes.close()
        state.stripe.close()

    app = FastAPI(title="Atelier twins", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.include_router(pages.router)
    app.include_router(control.router)
    app.include_router(hooks.router)
    app.include_router(openai.router)
    app.include_router(stripe_control.router)
    app.include_router(stripe_pages.router)
    app.include_router(stripe.router)
    return app


def _build(data: Path | None, render_workers: int, courier: Courier) -> State:
    changes = Changes()
    calls = CallLog(Journal(_within(data, "calls.jsonl")), changes)
    return State(
        changes=changes,
        calls=calls,
        faults=FaultScript(_within(data, "faults.json"), calls),
        inboxes=Inboxes(Journal(_within(data, "hooks.jsonl")), changes),
        studio=Studio(render_workers),
        stripe=Accounts(Journal(_within(data, "stripe.jsonl")), changes, courier.dispatch),
    )


def _within(data: Path | None, name: str) -> Path | None:
    return data / name if data else None
