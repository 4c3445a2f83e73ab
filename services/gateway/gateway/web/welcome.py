"""Signing in and out of the page: by an API key or a one-time link; each becomes a session cookie."""

import re
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from gateway.auth import Authenticator, OpenToAll, is_same_origin
from gateway.bodies import RawBody
from gateway.errors import foreign_origin
from gateway.keys import WORKING_SCOPES
from gateway.sessions import (
    COOKIE,
    clear_cookie,
    create_session,
    end_session,
    redeem_ticket,
    session_actor,
    set_cookie,
)
from gateway.settings import GatewaySettings
from gateway.web.pages import Pages
from gateway.web.visitors import turn_of
from kit.database import Database, after_commit

SEE_OTHER = 303
OWN_PAGE = re.compile(r"/jobs(/job_[0-9A-Z]{26})?|/credits")

UNKNOWN_KEY = "This key is unknown, expired or revoked."
LESSER_KEY = "This key may not do everything that the page can; enter with one that may read and write."
USED_LINK = "This sign-in link was used already or is too old. Ask for a new one."

JOURNEY = (
    ("gateway", "Asked", "Your words are taken in and priced."),
    ("billing", "Held", "Credits are set aside, never lost."),
    ("generation", "Made", "A model paints it, once."),
    ("storage", "Kept", "The picture is checked and stored."),
    ("publishing", "Delivered", "It goes where you want it."),
)


async def _refuse_foreign(request: Request) -> None:
    if not is_same_origin(request):
        raise foreign_origin()


FromOwnPage = Depends(_refuse_foreign)
"""For routes that only our own page may call."""


async def _form(_: Annotated[None, FromOwnPage], body: RawBody) -> dict[str, str]:
    fields = parse_qs(body.decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}


FormDep = Annotated[dict[str, str], Depends(_form)]
"""The fields of a form of our own page."""


def make_router(settings: GatewaySettings, db: Database, pages: Pages, authenticator: Authenticator) -> APIRouter:
    """The routes by which a browser comes in and leaves."""
    router = APIRouter(include_in_schema=False, dependencies=[OpenToAll])
    lifetime = settings.session_lifetime
    secure = settings.environment != "development"

    @router.post("/enter")
    async def enter_with_key(request: Request, form: FormDep) -> Response:
        return_to = form.get("next", "")
        caller = await authenticator.by_key(form.get("api_key", "").strip())
        if caller is None:
            return welcome(pages, return_to=return_to, error=UNKNOWN_KEY, status=401)
        authenticator.limit_account(request, caller)
        if not caller.scopes.issuperset(WORKING_SCOPES):
            return welcome(pages, return_to=return_to, error=LESSER_KEY, status=403)
        async with db.place(of=caller.account_id), db.write() as session:
            token = await create_session(
                session,
                account_id=caller.account_id,
                api_key_id=caller.api_key_id,
                scopes=caller.scopes,
                lifetime=lifetime,
            )
        response = RedirectResponse(return_to if OWN_PAGE.fullmatch(return_to) else "/", SEE_OTHER)
        set_cookie(response, token, secure=secure, lifetime=lifetime)
        return response

    @router.get("/enter/{ticket}")
    async def enter_with_link(ticket: str, request: Request) -> Response:
        async with db.place(of=turn_of(ticket)), db.write() as session:
            token = await redeem_ticket(session, ticket=ticket, lifetime=lifetime)
        if token is None:
            return welcome(pages, error=USED_LINK, status=410)
        response: Response = RedirectResponse("/", SEE_OTHER)
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            # a strict cookie is not sent along a redirect that began on another site; a page of our own starts anew
            response = pages.render("entered.html", to="/")
        set_cookie(response, token, secure=secure, lifetime=lifetime)
        return response

    @router.post("/sign-out", dependencies=[FromOwnPage])
    async def sign_out(request: Request) -> Response:
        if token := request.cookies.get(COOKIE):
            async with db.place(of=turn_of(token)), db.write() as session:
                await end_session(session, token=token)
                after_commit(session, lambda: authenticator.forget(session_actor(token)))
        response = RedirectResponse("/", SEE_OTHER)
        clear_cookie(response, secure=secure)
        return response

    return router


def welcome(pages: Pages, *, return_to: str = "/", error: str | None = None, status: int = 200) -> Response:
    """The page of somebody who is not signed in; after that they go on to ``return_to``."""
    return pages.render("welcome.html", status=status, next=return_to, error=error, journey=JOURNEY)
