"""What is sold: packs of credits once, and plans that bring credits every period. Settings name their prices."""

from collections.abc import Sequence
from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from shared.prices import MILLICREDITS


class Offer(BaseModel):
    """One Stripe price and the credits it is worth. A retired one is no longer sold but still honoured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9_]{1,40}$")
    price_id: str = Field(min_length=1)
    credits: int = Field(gt=0)
    retired: bool = False

    @property
    def amount(self) -> int:
        """Milli-credits."""
        return self.credits * MILLICREDITS


class Pack(Offer):
    """Credits that are bought once and do not expire."""


class Plan(Offer):
    """Credits for every paid period; what is unspent expires with it, or ``rollover_days`` later."""

    rollover_days: int = Field(default=0, ge=0)

    @property
    def rollover(self) -> timedelta:
        """How long unspent credits outlive their period."""
        return timedelta(days=self.rollover_days)


class Offers:
    """Packs and plans by name and by price. Plans stand in order of rank, the highest last."""

    def __init__(self, packs: Sequence[Pack], plans: Sequence[Plan]) -> None:
        self.packs = {pack.name: pack for pack in packs}
        self.plans = {plan.name: plan for plan in plans}
        self._plans_by_price = {plan.price_id: plan for plan in plans}
        self._ranks = {plan.name: rank for rank, plan in enumerate(plans)}

    def all(self) -> tuple[Offer, ...]:
        """Everything that is or was sold."""
        return (*self.packs.values(), *self.plans.values())

    def plan_of_price(self, price_id: str) -> Plan | None:
        """The plan behind a price, retired or not."""
        return self._plans_by_price.get(price_id)

    def rank(self, plan: str) -> int:
        """A higher plan has a higher rank; one that is no longer known the lowest."""
        return self._ranks.get(plan, -1)
