"""Spend limits: how much of a period's cap is used, and what a limit says to the next job.

    active --the cap is reached--> grace (24 h) --> paused
      ^------- the cap is raised above what was used, or the period turns -------'

In grace and paused new jobs are refused and running ones end as they will. A job that does not fit makes the cap
reached, unless it would not fit an empty period either: one absurd request must not stop everything else.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

GRACE = timedelta(hours=24)
THRESHOLDS = (50, 80, 100)

Measure = Literal["credits", "jobs", "provider_usd", "balance"]
Period = Literal["day", "month"]
State = Literal["active", "grace", "paused"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one job counts for: milli-credits, itself, and millionths of a dollar by list price."""

    credits: int
    micro_usd: int

    def of(self, measure: Measure) -> int:
        """The part that a limit of this measure counts."""
        return {"credits": self.credits, "jobs": 1, "provider_usd": self.micro_usd, "balance": 0}[measure]


@dataclass(slots=True)
class SpendLimit:
    """One limit with its counter. ``told`` is the highest alert of the period in percent."""

    id: str
    account_id: str
    api_key_id: str | None
    campaign_id: str | None
    measure: Measure
    period: Period
    cap: int
    period_start: datetime
    used: int
    told: int
    reached_at: datetime | None

    def applies_to(self, *, api_key_id: str | None, campaign_id: str | None) -> bool:
        """Whether a job of this API key and campaign counts."""
        return self.api_key_id in {None, api_key_id} and self.campaign_id in {None, campaign_id}

    @property
    def whose(self) -> str:
        """What the limit is for, in words."""
        if self.campaign_id:
            return f"campaign {self.campaign_id}"
        return f"API key {self.api_key_id}" if self.api_key_id else "the account"

    def turn(self, now: datetime) -> None:
        """Begin the period of ``now`` if it is another one than the counter's."""
        start = period_start(self.period, now)
        if start > self.period_start:
            self.period_start, self.used, self.told, self.reached_at = start, 0, 0, None

    def state(self, now: datetime) -> State:
        """Active, grace or paused."""
        if self.reached_at is None:
            return "active"
        return "grace" if now < self.reached_at + GRACE else "paused"

    def refuses(self, cost: Cost, now: datetime) -> bool:
        """Whether the job must not start; notes that the cap is reached when it is this job that shows it."""
        if self.measure == "balance":
            return False
        if self.reached_at is not None:
            return True
        wanted = cost.of(self.measure)
        if self.used + wanted <= self.cap:
            return False
        if wanted <= self.cap:
            self.reached_at = now
        return True

    def count(self, cost: Cost, now: datetime) -> None:
        """Count a job that was held."""
        self.used += cost.of(self.measure)
        if self.measure != "balance" and self.used >= self.cap:
            self.reached_at = now

    def news(self) -> list[int]:
        """Thresholds that were crossed and not told in this period; they count as told now."""
        percent = 100 if self.reached_at else self.used * 100 // self.cap if self.cap else 0
        crossed = [threshold for threshold in THRESHOLDS if self.told < threshold <= percent]
        self.told = max([self.told, *crossed])
        return crossed

    def is_low(self, available: int) -> bool:
        """Whether a balance alert is due: below its amount, and not told in this period."""
        if self.measure != "balance" or self.told or available >= self.cap:
            return False
        self.told = THRESHOLDS[-1]
        return True

    def change_cap(self, cap: int, now: datetime) -> None:
        """Raise or lower the cap. What was used stays; above it work goes on, at or below it the cap is reached."""
        self.turn(now)
        self.cap, self.told = cap, 0
        if self.measure == "balance":
            return
        self.reached_at = (self.reached_at or now) if self.used and self.used >= cap else None
        self.news()


def period_start(period: Period, now: datetime) -> datetime:
    """The first moment (UTC) of the period that ``now`` is in."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day if period == "day" else day.replace(day=1)
