"""HTTP in: the caller's deliveries, making one again, and the secret they are signed with."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from kit.database import ReadSession, WriteSession, after_commit
from kit.http import ReadDep, WriteDep
from kit.identity import CallerDep
from kit.leases import LeaseWorker
from kit.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, decode_cursor, page
from kit.problems import Responses, insufficient_scope
from publishing.deliveries import attempts_of, get_delivery, list_deliveries, redeliver
from publishing.schemas import Delivery, DeliveryDetail, State, WebhookSecret
from publishing.signing import Signer
from shared.ids import DeliveryId, JobId

JobQuery = Annotated[JobId | None, Query(description="Only the delivery of this job.")]
StateQuery = Annotated[State | None, Query(description="Only deliveries in this state.")]

NOT_FOUND: Responses = {404: {"description": "The caller's account has no such delivery."}}
LACKS_SCOPE: Responses = {403: {"description": "The API key lacks the scope `write`."}}
NOT_READY: Responses = {409: {"description": "The job has not ended yet."}}


def make_router(signer: Signer, worker: LeaseWorker) -> APIRouter:
    """The routes of publishing."""
    router = APIRouter(prefix="/v1", tags=["deliveries"])

    @router.get("/deliveries", summary="List deliveries")
    async def list_log(
        *,
        caller: CallerDep,
        session: ReadDep,
        job_id: JobQuery = None,
        state: StateQuery = None,
        limit: LimitQuery = DEFAULT_LIMIT,
        cursor: CursorQuery = None,
    ) -> Page[Delivery]:
        """Where outcomes of the caller's jobs were sent, newest first."""
        before = decode_cursor(cursor, str)
        rows = await list_deliveries(
            session, account_id=caller.account_id, job_id=job_id, state=state, before=before, limit=limit + 1
        )
        shown = [Delivery.of(row) for row in rows]
        return page(shown, limit, position=lambda delivery: delivery.id)

    @router.get("/deliveries/{delivery_id}", summary="Read a delivery", responses=NOT_FOUND)
    async def read_delivery(delivery_id: DeliveryId, caller: CallerDep, session: ReadDep) -> DeliveryDetail:
        """One delivery with its body and every attempt."""
        return await _describe(session, account_id=caller.account_id, delivery_id=delivery_id)

    @router.post(
        "/deliveries/{delivery_id}/redeliver",
        summary="Deliver again",
        status_code=202,
        responses={**NOT_FOUND, **NOT_READY},
    )
    async def deliver_again(delivery_id: DeliveryId, caller: CallerDep, session: WriteDep) -> DeliveryDetail:
        """Makes a delivery due now, with the same id and body; repeating the request before it is made adds nothing."""
        await redeliver(session, account_id=caller.account_id, delivery_id=delivery_id)
        after_commit(session, worker.wake)
        return await _describe(session, account_id=caller.account_id, delivery_id=delivery_id)

    @router.get("/webhook-secret", summary="Read the signing secret", responses=LACKS_SCOPE)
    async def read_webhook_secret(caller: CallerDep, response: Response) -> WebhookSecret:
        """The secret to verify deliveries with, for jobs that named none; it can forge them: a key needs `write`."""
        if "write" not in caller.scopes:
            raise insufficient_scope("write")
        response.headers["Cache-Control"] = "no-store"
        return WebhookSecret(secret=signer.account_secret(caller.account_id))

    return router


async def _describe(session: ReadSession | WriteSession, *, account_id: str, delivery_id: str) -> DeliveryDetail:
    row = await get_delivery(session, account_id=account_id, delivery_id=delivery_id)
    return DeliveryDetail.with_attempts(row, await attempts_of(session, delivery_id=delivery_id))
