"""The page of an account's credits: balance, what expires next, packs, plans, the latest movements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request, Response

from gateway.auth import OpenToAll
from gateway.sessions import COOKIE
from gateway.web import wording
from gateway.web.pages import Pages
from gateway.web.reading import balance_of
from gateway.web.till import Movement, Purse, Till
from gateway.web.visitors import visitor
from gateway.web.welcome import welcome
from kit.database import Database

PAGE = "/credits"


@dataclass(frozen=True, slots=True)
class Row:
    """One movement as the page tells it."""

    title: str
    at: datetime
    change: int
    left: int
    job_id: str | None


def make_router(db: Database, pages: Pages, till: Till) -> APIRouter:
    """The route of the page. Its buttons call the public API, as any client would."""
    router = APIRouter(include_in_schema=False, dependencies=[OpenToAll])

    @router.get(PAGE)
    async def show_credits(request: Request) -> Response:
        if COOKIE not in request.cookies and request.headers.get("Sec-Fetch-Site") == "cross-site":
            # back from the payment provider, without the strict cookie: a navigation of our own brings it along
            return pages.render("entered.html", to=PAGE)
        async with visitor(db, request) as who:
            if who is None:
                return welcome(pages, return_to=PAGE)
            balance = await balance_of(who.session, account_id=who.account.id)
        purse = await till.look(who.principal)
        return pages.render(
            "credits.html",
            account=who.account,
            balance=purse.wallet or balance,
            next_expiry=purse.wallet.next_expiry if purse.wallet else None,
            purse=purse,
            rows=_rows(purse.movements),
            trouble=_trouble(purse),
            has_bought=_has_bought(purse),
            may_manage="manage" in who.principal.scopes,
        )

    return router


def _rows(movements: Sequence[Movement] | None) -> list[Row]:
    return [_row(movement) for movement in movements or ()]


def _row(movement: Movement) -> Row:
    sums = {line.account: movement.sum_of(line.account) for line in movement.entries}
    title = wording.movement_title(movement.kind, sums)
    return Row(title, movement.created_at, movement.change, movement.available_after, movement.job_id)


def _trouble(purse: Purse) -> str | None:
    """What the account should do about its plan."""
    return wording.PLAN_STATES.get(purse.subscription.status) if purse.subscription else None


def _has_bought(purse: Purse) -> bool:
    """Whether there is something to manage at the payment provider, as far as this page can tell."""
    if purse.subscription is not None and purse.subscription.status != "none":
        return True
    return any(line.account == "funding.purchase" for movement in purse.movements or () for line in movement.entries)
