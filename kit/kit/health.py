"""Health of a service process.

Live: the process answers. Ready: it can do its HTTP work, which means its database answers. Consumer, relay, outbox
and Redis are degraded fields of ``/health``, never readiness: a Kafka outage must not become an API outage.
"""

import asyncio
import contextlib
import time
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kit import dead_letters, metrics, outbox

router = APIRouter(include_in_schema=False)

PROBE_SECONDS = 2.0
OUTBOX_AGE_LIMIT_SECONDS = 30.0


@router.get("/livez")
async def live() -> dict[str, str]:
    return {"status": "live"}


@router.get("/readyz")
async def ready(request: Request) -> Response:
    service = request.app.state.service
    if service.stopping:
        return JSONResponse({"status": "stopping"}, 503)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await service.db.ping()
    except Exception:
        return JSONResponse({"status": "waiting", "reason": "the database does not answer"}, 503)
    return JSONResponse({"status": "ready"})


@router.get("/health")
async def health(request: Request) -> Response:
    service = request.app.state.service
    checks: dict[str, Any] = {}
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            started = time.perf_counter()
            async with service.db.read() as session:
                waiting, age = await outbox.pending(session)
                letters = await dead_letters.count(session)
            checks["database"] = {"ok": True, "milliseconds": round((time.perf_counter() - started) * 1000, 1)}
            checks["outbox"] = {
                "ok": age < OUTBOX_AGE_LIMIT_SECONDS,
                "pending": waiting,
                "oldest_seconds": round(age, 1),
            }
            checks["dead_letters"] = {"ok": not any(letters.values()), **letters}
            _publish(service.name, waiting, age, letters)
    except Exception as error:
        checks["database"] = {"ok": False, "reason": type(error).__name__}
    checks |= {name: {"ok": ok} for name, ok in service.degraded_checks().items()}
    status = "ok" if all(check["ok"] for check in checks.values()) else "degraded"
    return JSONResponse({"service": service.name, "status": status, "checks": checks})


@router.get("/metrics")
async def prometheus(request: Request) -> Response:
    await _measure(request.app.state.service)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _measure(service: Any) -> None:
    """Ask the database for what only it knows. When it does not answer, the last values stay."""
    for name, check in service.checks.items():
        metrics.DEPENDENCY_UP.labels(service.name, name).set(check())
    if service.consumes:
        metrics.CONSUMER_ACTIVE.labels(service.name).set(service.consumer.assigned)
    with contextlib.suppress(Exception):
        async with asyncio.timeout(PROBE_SECONDS), service.db.read() as session:
            waiting, age = await outbox.pending(session)
            _publish(service.name, waiting, age, await dead_letters.count(session))


def _publish(service: str, waiting: int, age: float, letters: dict[str, int]) -> None:
    metrics.OUTBOX_PENDING.labels(service).set(waiting)
    metrics.OUTBOX_AGE.labels(service).set(age)
    for state, count in letters.items():
        metrics.DEAD_LETTERS.labels(service, state).set(count)
