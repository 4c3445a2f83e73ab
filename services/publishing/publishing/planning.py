"""Planning: a delivery is complete when both its halves are known, in whatever order they come.

The request names the target, the terminal event the outcome. Whoever sees the row complete makes it due.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func
from sqlalchemy.dialects.postgresql import Insert, insert

from kit.database import WriteSession
from publishing.models import deliveries
from shared.events import JobRequested
from shared.events.generation import Terminal


def delivery_id(job_id: str) -> str:
    """The one delivery of a job: the same id whichever half comes first, and after a restore."""
    return job_id.replace("job_", "dlv_", 1)


async def plan_targets(session: WriteSession, jobs: Sequence[JobRequested]) -> bool:
    """Keep where outcomes go; returns whether a delivery became due."""
    rows = [
        {
            "id": delivery_id(job.job_id),
            "account_id": job.account_id,
            "job_id": job.job_id,
            "url": job.deliver.url,
            "sealed_secret": job.deliver.sealed_secret,
        }
        for job in jobs
        if job.deliver is not None
    ]
    statement = insert(deliveries)
    return await _upsert(
        session,
        statement,
        rows,
        keep={"url": statement.excluded.url, "sealed_secret": statement.excluded.sealed_secret},
        complete=deliveries.c.body.is_not(None),
    )


async def plan_outcomes(session: WriteSession, ends: Sequence[Terminal]) -> bool:
    """Keep what is delivered; returns whether a delivery became due. The first outcome of a job stays."""
    rows = [
        {
            "id": delivery_id(end.job_id),
            "account_id": end.account_id,
            "job_id": end.job_id,
            "type": f"job.{end.status}",
            "body": body_of(end),
            "causation_id": end.envelope.id,
            "traceparent": end.envelope.traceparent,
        }
        for end in ends
    ]
    statement = insert(deliveries)
    keep = {
        name: func.coalesce(deliveries.c[name], statement.excluded[name])
        for name in ("type", "body", "causation_id", "traceparent")
    }
    return await _upsert(session, statement, rows, keep=keep, complete=deliveries.c.url.is_not(None))


def body_of(end: Terminal) -> str:
    """The payload of a webhook, as the bytes that every attempt sends."""
    payload = {
        "type": f"job.{end.status}",
        "timestamp": _iso(end.finished_at),
        "data": {
            "job_id": end.job_id,
            "status": end.status,
            "failure": getattr(end, "failure", None),
            "detail": getattr(end, "detail", None),
            "items": [
                item.model_dump(include={"item", "outcome", "asset_id", "price", "failure", "fallback"})
                for item in end.items
            ],
            "unit": "millicredits",
            "finished_at": _iso(end.finished_at),
        },
    }
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False)


async def _upsert(
    session: WriteSession,
    statement: Insert,
    rows: Sequence[dict[str, Any]],
    *,
    keep: dict[str, Any],
    complete: ColumnElement[bool],
) -> bool:
    """Insert one half, or set its columns beside the other and make the delivery due."""
    unique = {row["id"]: row for row in reversed(rows)}  # the first of a batch counts, like the first of all
    if not unique:
        return False
    ready = and_(deliveries.c.state == "waiting", complete)
    upsert = statement.on_conflict_do_update(
        index_elements=["id"],
        set_={
            **keep,
            "state": case((ready, "delivering"), else_=deliveries.c.state),
            "due_at": case((ready, func.now()), else_=deliveries.c.due_at),
        },
    ).returning(deliveries.c.state)
    ordered = [unique[identifier] for identifier in sorted(unique)]
    states = await session.scalars(upsert, ordered)
    return "delivering" in set(states)


def _iso(moment: Any) -> str:
    return str(moment.isoformat()).replace("+00:00", "Z")
