"""Admission: a request becomes a job, or is refused at once and nothing is stored.

Requests that arrive within a few milliseconds share one transaction with a fixed number of statements: idempotency
key, job, first event and ``JobRequested`` become durable together. Gateway's own view of the wallet may say yes; only
billing may say no, so before a 402 it is asked. When it does not answer, the job is accepted; the hold still decides.
A job that cites a quote is asked about first (``quotes.py``) and takes the quoted price from there on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import structlog
from pydantic import ValidationError
from sqlalchemy import insert, select

from gateway import journal
from gateway.errors import balance_negative, insufficient_credits, unknown_kind
from gateway.models import balances, jobs
from gateway.owners import Owner, OwnerClient
from gateway.principals import Principal
from gateway.quotes import Quotes
from gateway.schemas import JobCredits, JobDelivery, JobLinks, JobView, NewJob
from kit import idempotency, outbox
from kit.coalescer import Coalescer
from kit.database import Database, WriteSession
from kit.idempotency import Fingerprint
from kit.identity import Caller
from kit.problems import Problem, invalid
from kit.sealing import seal
from kit.sql import among
from kit.tracing import current_traceparent
from shared.events import JobRequested
from shared.events.jobs import SealedWebhook
from shared.ids import new_id
from shared.jobs import JOB_INPUTS, Deliver, JobInput, parse_input
from shared.prices import Price, current_version, price_job

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Order:
    """A priced request that is ready to be written. ``confirmed``: the wallet was asked about, or need not be."""

    event: JobRequested
    response: dict[str, Any]
    traceparent: str
    use: Fingerprint | None
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    """The response to an accepted request; ``replayed`` when an earlier one with its key was accepted."""

    response: dict[str, Any]
    replayed: bool

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return str(self.response["id"])


@dataclass(frozen=True, slots=True)
class Short:
    """By gateway's own view the wallet cannot pay."""

    available: int


Result = Admitted | Short | Problem


class Admission:
    """Admits jobs."""

    def __init__(
        self,
        db: Database,
        client: OwnerClient,
        billing: Owner,
        *,
        seal_public_key: str,
        confirmation_timeout: timedelta,
        quote_timeout: timedelta,
    ) -> None:
        self._db = db
        self._client = client
        self._billing = billing
        self._seal_public_key = seal_public_key
        self._confirmation_seconds = confirmation_timeout.total_seconds()
        self._quotes = Quotes(client, billing, timeout=quote_timeout)
        self._writes: Coalescer[Order, Result] = Coalescer(db, write_orders, service="gateway")

    async def admit(self, caller: Principal, request: NewJob, *, key: str | None) -> Admitted:
        """Accept a job. Raises Problem 402, 409 or 422."""
        job_input = parse(request.kind, request.input)
        use = idempotency.use_of(key, account_id=caller.account_id, operation="create_job", body=request)
        quoted = None
        if request.quote_id is not None:
            # a replay costs nothing, and its quote may have expired since
            if (earlier := await self._earlier(caller, use)) is not None:
                return earlier
            quoted = await self._quotes.price_of(caller, request.quote_id, kind=request.kind, job_input=job_input)
        order = self._order(caller, request, job_input, quoted=quoted, use=use)
        result = await self._writes.submit(order)
        if isinstance(result, Short):
            result = await self._second_opinion(caller, order, result)
        if isinstance(result, Problem):
            raise result
        assert isinstance(result, Admitted)
        return result

    def _order(
        self, caller: Principal, request: NewJob, job_input: JobInput, *, quoted: Price | None, use: Fingerprint | None
    ) -> Order:
        now = datetime.now(UTC)
        price = quoted or price_job(job_input, current_version(now))
        job_id = new_id("job")
        event = JobRequested(
            job_id=job_id,
            account_id=caller.account_id,
            api_key_id=caller.api_key_id,
            kind=request.kind,
            input=job_input.model_dump(mode="json"),
            items=job_input.items,
            price=price.total,
            item_prices=price.items,
            price_version=price.version,
            quote_id=request.quote_id,
            campaign_id=request.campaign_id,
            requested_at=now,
            deadline=now + timedelta(seconds=request.deadline_seconds),
            deliver=self._seal(request.deliver, job_id),
        )
        return Order(event, _first_response(event, price), current_traceparent(), use)

    def _seal(self, deliver: Deliver | None, job_id: str) -> SealedWebhook | None:
        if deliver is None:
            return None
        secret = deliver.webhook.secret
        sealed = None if secret is None else seal(self._seal_public_key, secret, context=job_id)
        return SealedWebhook(url=str(deliver.webhook.url), sealed_secret=sealed)

    async def _second_opinion(self, caller: Caller, order: Order, short: Short) -> Result:
        """A replay costs nothing; else billing's word counts, and its silence is a yes."""
        if (earlier := await self._earlier(caller, order.use)) is not None:
            return earlier
        available = await self._ask_billing(caller)
        if available is not None and available < 0:
            return balance_negative(available)
        if available is not None and available < order.event.price:
            return insufficient_credits(needed=order.event.price, available=available)
        log.info("balance.overruled", account_id=caller.account_id, shown=short.available, available=available)
        return await self._writes.submit(replace(order, confirmed=True))

    async def _earlier(self, caller: Caller, use: Fingerprint | None) -> Admitted | None:
        """The answer that an earlier request with the same key got. Raises Problem 409."""
        if use is None:
            return None
        async with self._db.place(of=caller.account_id), self._db.read() as session:
            response = await idempotency.find(session, use)
        return None if response is None else Admitted(response, replayed=True)

    async def _ask_billing(self, caller: Caller) -> int | None:
        """What the caller can spend; None when billing does not say in time."""
        try:
            wallet = await self._client.get_json(
                self._billing, "/v1/credits", caller=caller, seconds=self._confirmation_seconds
            )
        except (httpx2.HTTPError, ValueError) as error:
            log.warning("balance.unconfirmed", account_id=caller.account_id, reason=repr(error))
            return None
        available = wallet.get("available") if isinstance(wallet, dict) else None
        return available if isinstance(available, int) else None


def parse(kind: str, data: dict[str, Any]) -> JobInput:
    """The typed input of a job. Raises Problem 422."""
    if kind not in JOB_INPUTS:
        raise unknown_kind(list(JOB_INPUTS))
    try:
        return parse_input(kind, data)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise invalid([{**fault, "loc": ("input", *fault["loc"])} for fault in faults]) from error


async def write_orders(session: WriteSession, orders: Sequence[Order]) -> list[Result]:
    """Write the orders that can be paid, all at once; one result per order."""
    available = await _balances(session, {order.event.account_id for order in orders if not order.confirmed})
    results: list[Result | None] = [_shortage(order, available) for order in orders]
    payable = [place for place, result in enumerate(results) if result is None]
    keyed = [place for place in payable if orders[place].use is not None]
    claims = [(use, orders[place].response) for place in keyed if (use := orders[place].use) is not None]
    for place, claim in zip(keyed, await idempotency.claim_all(session, claims), strict=True):
        results[place] = Admitted(claim, replayed=True) if isinstance(claim, dict) else claim
    accepted = [place for place in payable if results[place] is None]
    await _insert(session, [orders[place] for place in accepted])
    return [result or Admitted(order.response, replayed=False) for order, result in zip(orders, results, strict=True)]


async def _balances(session: WriteSession, account_ids: set[str]) -> dict[str, int]:
    if not account_ids:
        return {}
    query = select(balances.c.account_id, balances.c.available).where(among(balances.c.account_id, account_ids))
    return {row.account_id: row.available for row in await session.execute(query)}


def _shortage(order: Order, available: dict[str, int]) -> Short | None:
    """An account of which billing has told nothing yet may be rich."""
    shown = available.get(order.event.account_id)
    if order.confirmed or shown is None or shown >= order.event.price:
        return None
    return Short(shown)


async def _insert(session: WriteSession, orders: Sequence[Order]) -> None:
    if not orders:
        return
    for order in orders:
        outbox.add(session, order.event, traceparent=order.traceparent)
    await session.execute(insert(jobs), [_row(order.event) for order in orders])
    await journal.write(session, [journal.entry(order.event, job_id=order.event.job_id, seq=1) for order in orders])


def _row(event: JobRequested) -> dict[str, Any]:
    return {
        "id": event.job_id,
        "account_id": event.account_id,
        "kind": event.kind,
        "input": event.input,
        "price": event.price,
        "webhook_url": event.deliver.url if event.deliver else None,
        "delivery": "pending" if event.deliver else None,
        "created_at": event.requested_at,
        "deadline": event.deadline,
    }


def _first_response(event: JobRequested, price: Price) -> dict[str, Any]:
    """The job as it is right after it was accepted; kept for replays."""
    job = JobView(
        id=event.job_id,
        kind=event.kind,
        status="queued",
        input=event.input,
        items=[],
        credits=JobCredits(price=price.total),
        delivery=JobDelivery(url=event.deliver.url, state="pending") if event.deliver else None,
        created_at=event.requested_at,
        deadline=event.deadline,
        links=JobLinks.of(event.job_id),
    )
    return job.model_dump(mode="json")
