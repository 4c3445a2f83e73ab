"""HTTP in: the caller's spend limits and balance alerts."""

from typing import Annotated

from fastapi import APIRouter, Path

from billing.schemas import NewSpendLimit, SpendLimitCap, SpendLimits, SpendLimitView
from billing.spend_guard import limits_of
from billing.spend_limit_changes import change_cap, remove_limit, set_limit
from billing.terms import Terms
from kit.http import ReadDep, WriteDep
from kit.identity import CallerDep
from kit.problems import Responses
from shared.ids import CROCKFORD

LimitPath = Annotated[
    str,
    Path(
        pattern=rf"^cap_[0-7][{CROCKFORD}]{{25}}$",
        description="Id of the limit.",
        examples=["cap_01KBHW3XJ0E4RAB1Q6TZZZ9V5C"],
    ),
]
NOT_FOUND: Responses = {404: {"description": "The caller has no such limit."}}
CONFLICT: Responses = {409: {"description": "There is such a limit already, or there are too many."}}


def make_spend_limit_router(terms: Terms) -> APIRouter:
    """The routes of spend limits."""
    router = APIRouter(prefix="/v1/spend-limits", tags=["spend limits"])
    bonus = terms.registration_bonus

    @router.get("", summary="List spend limits")
    async def list_spend_limits(*, caller: CallerDep, session: ReadDep) -> SpendLimits:
        """Every cap and balance alert of the caller, with what is used of it and its state."""
        limits, now = await limits_of(session, [caller.account_id])
        return SpendLimits(data=[SpendLimitView.of(limit, now) for limit in limits])

    @router.post("", summary="Set a spend limit", status_code=201, responses=CONFLICT)
    async def create_spend_limit(*, caller: CallerDep, session: WriteDep, wanted: NewSpendLimit) -> SpendLimitView:
        """A cap on what is held per day or month, or an alert at a balance. Counting begins now."""
        limit, now = await set_limit(
            session,
            account_id=caller.account_id,
            api_key_id=wanted.api_key_id,
            campaign_id=wanted.campaign_id,
            measure=wanted.measure,
            period=wanted.period,
            cap=wanted.cap,
            bonus=bonus,
        )
        return SpendLimitView.of(limit, now)

    @router.put("/{limit_id}", summary="Change a cap", responses=NOT_FOUND)
    async def change_spend_limit(
        *, caller: CallerDep, session: WriteDep, limit_id: LimitPath, wanted: SpendLimitCap
    ) -> SpendLimitView:
        """Raising the cap above what was used lets new jobs start at once."""
        limit, now = await change_cap(
            session, account_id=caller.account_id, limit_id=limit_id, cap=wanted.cap, bonus=bonus
        )
        return SpendLimitView.of(limit, now)

    @router.delete("/{limit_id}", summary="Remove a spend limit", status_code=204, responses=NOT_FOUND)
    async def remove_spend_limit(*, caller: CallerDep, session: WriteDep, limit_id: LimitPath) -> None:
        """Nothing is counted against it any more."""
        await remove_limit(session, account_id=caller.account_id, limit_id=limit_id, bonus=bonus)

    return router
