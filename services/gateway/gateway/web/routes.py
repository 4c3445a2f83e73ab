"""The routes of the page: the studio, the list of all jobs, and the story of a job."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from gateway import journal, timeline
from gateway.auth import OpenToAll
from gateway.jobs import get_job, is_complete, list_jobs
from gateway.retention import KEEP_JOURNAL
from gateway.web import lanes, wording
from gateway.web.pages import Pages
from gateway.web.reading import balance_of, view_of
from gateway.web.story import narrate
from gateway.web.visitors import visitor
from gateway.web.welcome import welcome
from kit.database import Database
from kit.pagination import decode_cursor, page
from shared.ids import JobId
from shared.jobs import ImageInput
from shared.prices import current_version, price_books

RECENT_JOBS = 20
LISTED_JOBS = 50
AfterQuery = Annotated[str | None, Query(max_length=500)]
STEPS = (
    ("accepted", "Accepted"),
    ("paid", "Paid"),
    ("making", "Making"),
    ("kept", "Kept"),
    ("delivered", "Delivered"),
)
IDEAS = (
    "a lighthouse in a storm, oil painting",
    "an alpine lake at dawn, mist over the water",
    "a neon city at night in the rain",
    "a fox among ferns in a misty forest",
)


def make_router(db: Database, pages: Pages) -> APIRouter:
    """The routes of the page; none of them is part of the public API."""
    router = APIRouter(include_in_schema=False, dependencies=[OpenToAll])

    @router.get("/")
    async def show_studio(request: Request) -> Response:
        async with visitor(db, request) as who:
            if who is None:
                return welcome(pages)
            account_id = who.account.id
            rows = await list_jobs(
                who.session, account_id=account_id, status=None, kind=None, before=None, limit=RECENT_JOBS
            )
            balance = await balance_of(who.session, account_id=account_id)
        return pages.render(
            "studio.html",
            account=who.account,
            balance=balance,
            jobs=[view_of(row) for row in rows],
            composer=_composer(),
            steps=STEPS,
            ideas=IDEAS,
            statuses=wording.STATUSES,
            wording={"failures": wording.FAILURES},
        )

    @router.get("/jobs")
    async def show_jobs(request: Request, after: AfterQuery = None) -> Response:
        async with visitor(db, request) as who:
            if who is None:
                return welcome(pages, return_to=request.url.path)
            account_id = who.account.id
            before = decode_cursor(after, str)
            rows = await list_jobs(
                who.session, account_id=account_id, status=None, kind=None, before=before, limit=LISTED_JOBS + 1
            )
            balance = await balance_of(who.session, account_id=account_id)
        listed = page([view_of(row) for row in rows], LISTED_JOBS, position=lambda job: job.id)
        return pages.render(
            "jobs.html",
            account=who.account,
            balance=balance,
            jobs=listed.data,
            next_cursor=listed.next_cursor,
            is_later=before is not None,
            statuses=wording.STATUSES,
        )

    @router.get("/jobs/{job_id}")
    async def show_job(job_id: JobId, request: Request) -> Response:
        async with visitor(db, request) as who:
            if who is None:
                return welcome(pages, return_to=request.url.path)
            account_id = who.account.id
            row = await get_job(who.session, account_id=account_id, job_id=job_id)
            events = await journal.read(who.session, job_id=job_id)
            balance = await balance_of(who.session, account_id=account_id)
        job = view_of(row)
        story = narrate(timeline.tell(job, events))
        return pages.render(
            "job.html",
            account=who.account,
            balance=balance,
            job=job,
            story=story,
            live=not is_complete(row),
            kept_days=KEEP_JOURNAL.days,
            titles={moment.event.seq: moment.title for moment in story.moments},
            statuses=wording.STATUSES,
            services=lanes.SERVICES,
            braid=lanes.GEOMETRY,
        )

    return router


def _composer() -> dict[str, object]:
    """What the form offers, read from the contract and the price book."""
    book = price_books()[current_version(datetime.now(UTC))]
    schema = ImageInput.model_json_schema()["properties"]
    return {
        "prices": {size: dict(qualities) for size, qualities in book.image.items()},
        "sizes": schema["size"]["enum"],
        "most_pictures": schema["n"]["maximum"],
        "longest_prompt": schema["prompt"]["maxLength"],
    }
