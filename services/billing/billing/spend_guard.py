"""The spend guard: limits are checked and counted in the transaction of the hold, and their alerts told with it.

The wallet says whether its account has limits, so a batch without any costs no statement more. Everything happens
under the wallet's lock: two jobs cannot both take the last room under a cap.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from math import ceil
from typing import Any, Self

from sqlalchemy import bindparam, func, select, update

from billing.ledger import Book
from billing.models import spend_limits
from billing.spend_limits import Cost, SpendLimit
from kit import outbox
from kit.database import ReadSession, WriteSession
from kit.sql import among
from shared.events import BalanceLow, JobRequested, SpendAlert
from shared.jobs import parse_input
from shared.prices import current_version, provider_cost

COLUMNS = [
    spend_limits.c[name]
    for name in (
        *("id", "account_id", "api_key_id", "campaign_id", "measure", "period"),
        *("cap", "period_start", "used", "told", "reached_at"),
    )
]

MICRO = 1_000_000
UNITS = {"credits": "milli-credits", "jobs": "jobs", "provider_usd": "millionths of a US dollar"}


class SpendGuard:
    """The limits of a batch's accounts."""

    def __init__(self, limits: Iterable[SpendLimit], *, now: datetime) -> None:
        self._now = now
        self._limits: dict[str, list[SpendLimit]] = defaultdict(list)
        for limit in limits:
            self._limits[limit.account_id].append(limit)

    @classmethod
    async def open(cls, session: WriteSession, book: Book, events: Iterable[JobRequested]) -> Self:
        """Load the limits of those accounts that have any."""
        guarded = sorted({event.account_id for event in events if book.wallet(event.account_id).guarded})
        if not guarded:
            return cls([], now=datetime.now(UTC))
        limits, now = await limits_of(session, guarded)
        return cls(limits, now=now)

    def admit(self, event: JobRequested) -> tuple[str, str] | None:
        """Count a job that is to be held, or code and detail of the first limit that refuses it.

        Its price has been checked.
        """
        if not (limits := self._of(event)):
            return None
        cost = self._cost_of(event)
        for limit in limits:
            if limit.refuses(cost, self._now):
                detail = (
                    f"The cap {limit.id} of {limit.whose} allows {limit.cap} {UNITS[limit.measure]} a {limit.period}:"
                    f" {limit.used} are used and the job needs {cost.of(limit.measure)}."
                    " Raise the cap or wait for the next period."
                )
                return "spend_cap_reached", detail
        for limit in limits:
            limit.count(cost, self._now)
        return None

    def tell(self, session: WriteSession, event: JobRequested, *, available: int) -> None:
        """Emit the alerts that this job made due."""
        for limit in self._of(event):
            for threshold in limit.news():
                outbox.add(session, self._alert(limit, threshold), cause=event)
            if limit.is_low(available):
                low = BalanceLow(
                    account_id=limit.account_id, limit_id=limit.id, threshold=limit.cap, available=available
                )
                outbox.add(session, low, cause=event)

    async def write(self, session: WriteSession) -> None:
        """Store the counters."""
        limits = [limit for of_account in self._limits.values() for limit in of_account]
        if limits:
            await store_limits(session, limits)

    def _cost_of(self, event: JobRequested) -> Cost:
        """What a job counts for; a provider's part by the list prices in force, nothing where the list has none."""
        listed = provider_cost(event.kind, parse_input(event.kind, event.input), current_version(self._now))
        return Cost(credits=event.price, micro_usd=ceil((listed or 0) * MICRO))

    def _of(self, event: JobRequested) -> list[SpendLimit]:
        limits = self._limits.get(event.account_id, ())
        return [
            limit for limit in limits if limit.applies_to(api_key_id=event.api_key_id, campaign_id=event.campaign_id)
        ]

    def _alert(self, limit: SpendLimit, threshold: int) -> SpendAlert:
        return SpendAlert(
            account_id=limit.account_id,
            limit_id=limit.id,
            api_key_id=limit.api_key_id,
            campaign_id=limit.campaign_id,
            measure=limit.measure,
            period=limit.period,
            period_start=limit.period_start,
            threshold=threshold,
            used=limit.used,
            cap=limit.cap,
            state=limit.state(self._now),
        )


async def limits_of(session: ReadSession | WriteSession, accounts: Iterable[str]) -> tuple[list[SpendLimit], datetime]:
    """The limits of these accounts in the period of now, oldest first, and what now is for the database."""
    query = select(*COLUMNS, func.now()).where(among(spend_limits.c.account_id, accounts)).order_by(spend_limits.c.id)
    rows: Any = (await session.execute(query)).all()
    limits = [SpendLimit(*row[:-1]) for row in rows]
    now = rows[0][-1] if rows else datetime.now(UTC)
    for limit in limits:
        limit.turn(now)
    return limits, now


async def store_limits(session: WriteSession, limits: Iterable[SpendLimit]) -> None:
    """Write caps and counters back, in one statement."""
    names = ("cap", "period_start", "used", "told", "reached_at")
    change = update(spend_limits).where(spend_limits.c.id == bindparam("limit_id"))
    change = change.values({name: bindparam(f"new_{name}") for name in names})
    rows = [{"limit_id": limit.id, **{f"new_{name}": getattr(limit, name) for name in names}} for limit in limits]
    connection = await session.connection()
    await connection.execute(change, rows)
