"""HTTP in: jobs with their live streams and timelines, API keys, and who is asking."""

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from gateway import journal
from gateway.accounts import get_account
from gateway.admission import Admission
from gateway.auth import AccountDep, Authenticator, ManagerDep
from gateway.bodies import body_of, json_body
from gateway.errors import api_key_not_found
from gateway.jobs import get_job, get_state, is_complete, is_finished, list_jobs, request_cancel
from gateway.keys import create_key_for, list_keys, revoke_key
from gateway.schemas import CreatedKey, JobView, Key, Me, NewJob, NewKey, Status, Timeline
from gateway.stream import Streams
from gateway.timeline import tell
from kit import idempotency
from kit.database import after_commit
from kit.http import ReadDep, WriteDep
from kit.idempotency import KeyHeader
from kit.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, decode_cursor, page
from kit.problems import Responses
from shared.ids import ApiKeyId, JobId
from shared.jobs import JOB_INPUTS

MAX_WAIT_SECONDS = 60
MAX_SEQ = 2**31 - 1
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:[,;]|$)", re.IGNORECASE)

PreferHeader = Annotated[
    str | None,
    Header(alias="Prefer", max_length=200, description="`wait=N`: answer when the job has ended, after N <= 60 s."),
]
StatusQuery = Annotated[Status | None, Query(description="Only jobs in this status.")]
KindQuery = Annotated[
    str | None, Query(json_schema_extra={"enum": list(JOB_INPUTS)}, description="Only jobs of this kind.")
]
AfterQuery = Annotated[int | None, Query(ge=0, le=MAX_SEQ, description="Only events behind this `seq`.")]
DescendantsQuery = Annotated[
    bool, Query(description="Also end all keys that were made with this one, directly or through others.")
]
LastEventHeader = Annotated[
    int | None,
    Header(alias="Last-Event-ID", ge=0, le=MAX_SEQ, description="As `after`; browsers send it when they come back."),
]

_REPLAY = {
    "description": "`true` when this is the answer to an earlier request with the same key.",
    "schema": {"type": "string"},
}
ACCEPTED: Responses = {
    200: {"description": "The job has ended within the time that `Prefer` allowed.", "model": JobView},
    202: {
        "description": "The job is accepted.",
        "headers": {
            "Location": {"description": "The job.", "schema": {"type": "string"}},
            "Idempotent-Replay": _REPLAY,
        },
    },
    402: {"description": "There are not enough credits."},
    409: {"description": "The Idempotency-Key was used with another request."},
}
STREAM: Responses = {
    200: {
        "description": "Events as they come: `id` is their `seq`, `data` an event as in the timeline. Events named"
        " `progress` have no id and may be lost; behind the events so far comes the last one of each item."
        " The stream ends when nothing more can come.",
        "content": {
            "text/event-stream": {
                "itemSchema": {
                    "type": "object",
                    "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": {"type": "string"}},
                    "required": ["data"],
                }
            }
        },
    },
    204: {"description": "There is nothing behind `after` and nothing more can come."},
}
MADE: Responses = {
    409: {
        "description": "A request with the same Idempotency-Key has made the key, or another one; or the account has as"
        " many keys as it may."
    }
}
ENDED: Responses = {409: {"description": "The job has ended already."}}


def make_router(admission: Admission, streams: Streams, authenticator: Authenticator, *, max_keys: int) -> APIRouter:
    """Gateway's own routes."""
    router = APIRouter(prefix="/v1")
    _add_jobs(router, admission, streams, authenticator)
    _add_account(router)
    _add_keys(router, authenticator, most=max_keys)
    return router


def _add_jobs(router: APIRouter, admission: Admission, streams: Streams, authenticator: Authenticator) -> None:
    @router.post(
        "/jobs",
        summary="Ask for a job",
        tags=["jobs"],
        status_code=202,
        response_model=JobView,
        responses=ACCEPTED,
        openapi_extra=body_of(NewJob),
    )
    async def create_job(
        caller: AccountDep,
        request: Annotated[NewJob, json_body(NewJob)],
        idempotency_key: KeyHeader = None,
        prefer: PreferHeader = None,
    ) -> Response:
        """Accepts a job: it is priced, and runs as soon as its credits are held. What is not delivered is not paid."""
        admitted = await admission.admit(caller, request, key=idempotency_key)
        headers = {"Location": f"/v1/jobs/{admitted.job_id}"}
        if admitted.replayed:
            headers["Idempotent-Replay"] = "true"
        seconds = wait_of(prefer)
        if seconds is None:
            return JSONResponse(admitted.response, 202, headers=headers)
        row = await streams.until_finished(account_id=caller.account_id, job_id=admitted.job_id, seconds=seconds)
        headers["Preference-Applied"] = f"wait={seconds}"
        content = JobView.of(row).model_dump(mode="json")
        return JSONResponse(content, 200 if is_finished(row) else 202, headers=headers)

    @router.get("/jobs", summary="List jobs", tags=["jobs"])
    async def list_all_jobs(
        *,
        caller: AccountDep,
        session: ReadDep,
        status: StatusQuery = None,
        kind: KindQuery = None,
        limit: LimitQuery = DEFAULT_LIMIT,
        cursor: CursorQuery = None,
    ) -> Page[JobView]:
        """Your jobs, newest first."""
        before = decode_cursor(cursor, str)
        rows = await list_jobs(
            session, account_id=caller.account_id, status=status, kind=kind, before=before, limit=limit + 1
        )
        return page([JobView.of(row) for row in rows], limit, position=lambda job: job.id)

    @router.get("/jobs/{job_id}", summary="Read a job", tags=["jobs"])
    async def read_job(job_id: JobId, caller: AccountDep, session: ReadDep) -> JobView:
        """A job as it stands."""
        return JobView.of(await get_job(session, account_id=caller.account_id, job_id=job_id))

    @router.post("/jobs/{job_id}/cancel", summary="Stop a job", tags=["jobs"], status_code=202, responses=ENDED)
    async def cancel_job(job_id: JobId, caller: AccountDep, session: WriteDep) -> JobView:
        """Stops what was not submitted to a provider yet; the rest runs to its end. Asking again changes nothing."""
        row = await request_cancel(session, account_id=caller.account_id, job_id=job_id)
        after_commit(session, lambda: streams.wake(job_id))
        return JobView.of(row)

    @router.get("/jobs/{job_id}/timeline", summary="Read a job's timeline", tags=["jobs"])
    async def read_timeline(job_id: JobId, caller: AccountDep, session: ReadDep) -> Timeline:
        """Everything that happened for a job, from the request to the delivery, in one causal chain."""
        row = await get_job(session, account_id=caller.account_id, job_id=job_id)
        return tell(JobView.of(row), await journal.read(session, job_id=job_id))

    @router.get(
        "/jobs/{job_id}/events",
        summary="Follow a job live",
        tags=["jobs"],
        response_class=StreamingResponse,
        responses=STREAM,
    )
    async def follow_job(
        *,
        job_id: JobId,
        caller: AccountDep,
        request: Request,
        session: ReadDep,
        after: AfterQuery = None,
        last_event_id: LastEventHeader = None,
    ) -> Response:
        """Server-sent events of a job: its journal from the start or from where you left, then live."""
        state = await get_state(session, account_id=caller.account_id, job_id=job_id)
        seen = next((seq for seq in (last_event_id, after) if seq is not None), 0)
        if is_complete(state) and seen >= (await journal.last_seqs(session, [job_id]))[job_id]:
            return Response(status_code=204)
        is_allowed = partial(authenticator.is_still_valid, request)
        return streams.open(account_id=caller.account_id, job_id=job_id, after=seen, is_allowed=is_allowed)


def _add_account(router: APIRouter) -> None:
    @router.get("/me", summary="Who am I", tags=["account"])
    async def read_me(caller: AccountDep, session: ReadDep) -> Me:
        """Your account, and the credentials you asked with."""
        account = await get_account(session, account_id=caller.account_id)
        return Me(
            account_id=account.id,
            email=account.email,
            created_at=account.created_at,
            actor=caller.actor,
            scopes=sorted(caller.scopes),
        )


def _add_keys(router: APIRouter, authenticator: Authenticator, *, most: int) -> None:
    @router.post(
        "/api-keys",
        summary="Make an API key",
        tags=["account"],
        status_code=201,
        responses=MADE,
        openapi_extra=body_of(NewKey),
    )
    async def create_api_key(
        caller: ManagerDep,
        request: Annotated[NewKey, json_body(NewKey)],
        session: WriteDep,
        response: Response,
        idempotency_key: KeyHeader = None,
    ) -> CreatedKey:
        """Makes a key and shows it, once: the same Idempotency-Key is answered 409 with `api_key_id` the next time.

        It may do no more than the key that asks, and ends with it at the latest.
        """
        expires_at = None
        if request.expires_in_days is not None:
            expires_at = datetime.now(UTC) + timedelta(days=request.expires_in_days)
        use = idempotency.use_of(
            idempotency_key, account_id=caller.account_id, operation="create_api_key", body=request
        )
        made = await create_key_for(
            session,
            caller,
            name=request.name,
            scopes=request.scopes,
            expires_at=expires_at,
            most=most,
            use=use,
        )
        response.headers["Cache-Control"] = "no-store"
        return CreatedKey.of(made.row, key=made.secret)

    @router.get("/api-keys", summary="List API keys", tags=["account"])
    async def list_api_keys(
        caller: AccountDep, session: ReadDep, limit: LimitQuery = DEFAULT_LIMIT, cursor: CursorQuery = None
    ) -> Page[Key]:
        """Your keys without their secrets, newest first; those that were revoked too."""
        before = decode_cursor(cursor, str)
        rows = await list_keys(session, account_id=caller.account_id, before=before, limit=limit + 1)
        return page([Key.of(row) for row in rows], limit, position=lambda key: key.id)

    @router.delete("/api-keys/{key_id}", summary="Revoke an API key", tags=["account"], status_code=204)
    async def revoke_api_key(
        key_id: ApiKeyId, caller: ManagerDep, session: WriteDep, *, descendants: DescendantsQuery = False
    ) -> None:
        """Ends a key at once, and the browser sessions that were opened with it. Ending it again changes nothing."""
        ended = await revoke_key(session, key_id=key_id, account_id=caller.account_id, descendants=descendants)
        if not ended:
            raise api_key_not_found()
        after_commit(session, lambda: authenticator.forget(*ended))


def wait_of(prefer: str | None) -> int | None:
    """Seconds of ``Prefer: wait=N`` (RFC 7240), at most 60."""
    match = _WAIT.search(prefer or "")
    return min(int(match[1]), MAX_WAIT_SECONDS) if match else None
