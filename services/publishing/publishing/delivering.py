"""Delivering: one leased attempt at a time, written down before it is made and again when its end is known.

Every attempt of a delivery sends the same bytes under the same ``webhook-id``, so a receiver that sees one twice, which
happens when a process dies between answer and note, can tell.
"""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx2
import structlog
from sqlalchemy import func, insert, update

from kit import outbox
from kit.database import Database, WriteSession
from kit.leases import Lease, LeaseWorker, finished, retry_after, write_held
from kit.retry_after import parse_retry_after
from kit.safe_http import AddressRefusedError, Answer, SafeClient
from publishing.models import attempts, deliveries
from publishing.schedule import Schedule
from publishing.signing import SecretUnusableError, Signer
from shared.events import DeliveryFailed, DeliverySucceeded

log = structlog.get_logger()

EXCERPT_CHARACTERS = 500
LEASE_SLACK_SECONDS = 15.0
RETRY_PRIORITY = 1  # behind first attempts: what has waited already can wait
USER_AGENT = "Atelier-Webhooks/1 (+https://www.standardwebhooks.com)"

REASONS = {
    "address_refused": "The address is not a public one, so it is not called.",
    "secret_unusable": "The signing secret of this job cannot be read.",
    "gone": "The receiver answered 410 Gone: it does not want deliveries any more.",
    "redirected": "The receiver answered with a redirect; deliveries do not follow redirects.",
    "http_status": "The receiver did not answer with a 2xx status.",
    "timeout": "The receiver did not answer in time.",
    "connect_failed": "No connection to the receiver could be made.",
    "connection_broken": "The connection broke before the receiver had answered.",
    "internal": "Something went wrong on our side; it has been logged.",
}
FINAL = frozenset({"address_refused", "secret_unusable", "gone"})


FAULTS: tuple[tuple[type[Exception], str], ...] = (
    (SecretUnusableError, "secret_unusable"),
    (AddressRefusedError, "address_refused"),
    (httpx2.TimeoutException, "timeout"),
    (httpx2.ConnectError, "connect_failed"),
    (httpx2.HTTPError, "connection_broken"),
)
"""What each error of an attempt means; the first that fits counts."""


@dataclass(frozen=True, slots=True)
class Result:
    """How one attempt ended; without an error code it succeeded."""

    error_code: str | None = None
    status_code: int | None = None
    response: str | None = None
    retry_after: float | None = None
    duration_ms: int = 0


class Courier:
    """Delivers what is due."""

    def __init__(
        self,
        db: Database,
        client: SafeClient,
        signer: Signer,
        schedule: Schedule,
        *,
        request_seconds: float,
        concurrency: int,
    ) -> None:
        self._db = db
        self._client = client
        self._signer = signer
        self._schedule = schedule
        self.worker = LeaseWorker(
            db,
            deliveries,
            self._work,
            service="publishing",
            concurrency=concurrency,
            lease_seconds=request_seconds + LEASE_SLACK_SECONDS,
            share=deliveries.c.account_id,  # a receiver that hangs holds a place for all of an attempt's time
        )

    async def _work(self, lease: Lease) -> None:
        async with self._db.write() as session:
            number = await _begin(session, lease)
        started = time.monotonic()
        result = await self._send(lease.row, number)
        result = replace(result, duration_ms=round((time.monotonic() - started) * 1000))
        async with self._db.write() as session:
            await self._finish(session, lease, number, result)

    async def _send(self, row: Any, number: int) -> Result:
        try:
            signature = self._signer.headers(
                delivery_id=row.id,
                account_id=row.account_id,
                job_id=row.job_id,
                sealed_secret=row.sealed_secret,
                body=row.body,
                now=datetime.now(UTC),
            )
            headers = {
                **signature,
                "content-type": "application/json",
                "user-agent": USER_AGENT,
                "webhook-delivery-attempt": str(number),
            }
            answer = await self._client.post(row.url, content=row.body.encode(), headers=headers)
        except Exception as error:
            return Result(_fault(row, number, error))
        return judge(answer)

    async def _finish(self, session: WriteSession, lease: Lease, number: int, result: Result) -> None:
        """Write down the end of an attempt, and with it that of the delivery or the next attempt."""
        failures = lease.row.failures + (result.error_code is not None)
        wait = self._schedule.next_wait(failures, retry_after=result.retry_after)
        values: dict[str, Any] = {"status_code": result.status_code, "error_code": result.error_code}
        if result.error_code is None:
            values |= {"state": "succeeded", "ended_at": func.now(), **finished()}
        elif result.error_code in FINAL or wait is None:
            values |= {"state": "failed", "failures": failures, "ended_at": func.now(), **finished()}
        else:
            values |= {"failures": failures, "priority": RETRY_PRIORITY, **retry_after(wait)}
        row = await write_held(session, deliveries, lease, values, deliveries.c.ended_at)
        await session.execute(
            update(attempts)
            .where(attempts.c.delivery_id == lease.id, attempts.c.number == number)
            .values(
                outcome="failed" if result.error_code else "succeeded",
                duration_ms=result.duration_ms,
                status_code=result.status_code,
                error_code=result.error_code,
                response=result.response,
            )
        )
        if row.ended_at is not None:
            _tell(session, lease, number, result, row.ended_at)


async def _begin(session: WriteSession, lease: Lease) -> int:
    """Write an attempt down before it is made; one that was left open died with its process."""
    count = deliveries.c.attempt_count
    row = await write_held(session, deliveries, lease, {"attempt_count": count + 1}, count)
    number = int(row.attempt_count)
    if number > 1:
        left_open = (attempts.c.delivery_id == lease.id) & attempts.c.outcome.is_(None)
        await session.execute(update(attempts).where(left_open).values(outcome="interrupted"))
    await session.execute(insert(attempts).values(delivery_id=lease.id, number=number))
    return number


def _fault(row: Any, number: int, error: Exception) -> str:
    """The code of an error. One of ours counts as a failed attempt too, or it would be repeated for ever."""
    code = next((code for kind, code in FAULTS if isinstance(error, kind)), "internal")
    if code == "internal":
        log.error("delivery.broken", delivery_id=row.id, attempt=number, exc_info=error)
    return code


def judge(answer: Answer) -> Result:
    """What an answer means: 2xx is success, 410 ends the delivery, all else is worth another attempt."""
    text = answer.body.decode("utf-8", "replace")[:EXCERPT_CHARACTERS]
    excerpt = "".join(character if character.isprintable() else " " for character in text).strip() or None
    match answer.status:
        case status if 200 <= status < 300:
            return Result(None, status, excerpt)
        case 410:
            return Result("gone", 410, excerpt)
        case status if 300 <= status < 400:
            return Result("redirected", status, excerpt)
    wished = parse_retry_after(answer.headers.get("retry-after"), now=datetime.now(UTC))
    return Result("http_status", answer.status, excerpt, wished)


def _tell(session: WriteSession, lease: Lease, number: int, result: Result, ended_at: datetime) -> None:
    facts = {
        "delivery_id": lease.id,
        "account_id": lease.row.account_id,
        "job_id": lease.row.job_id,
        "attempts": number,
        "status_code": result.status_code,
        "ended_at": ended_at,
    }
    code = result.error_code
    event = DeliveryFailed(**facts, code=code, detail=REASONS[code]) if code else DeliverySucceeded(**facts)
    outbox.add(session, event, cause=lease.row.causation_id, traceparent=lease.row.traceparent)
    log.info(
        "delivery.ended",
        delivery_id=lease.id,
        job_id=lease.row.job_id,
        attempts=number,
        status=result.status_code,
        code=code,
    )
