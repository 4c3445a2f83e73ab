"""What billing tells of an account's money, for the page of its credits.

The parts are asked for side by side. A part that billing does not tell in time is None, and the page says so: an
account can look at its credits while payments are away.
"""

import asyncio
from dataclasses import dataclass
from typing import TypeVar

import httpx2
import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict

from gateway.owners import Owner, OwnerClient
from kit.identity import Caller

log = structlog.get_logger()

MOVEMENTS = 8
PATIENCE_SECONDS = 3.0

M = TypeVar("M", bound=BaseModel)


class _Told(BaseModel):
    """Base of what is read of billing's answers; it may tell more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Expiry(_Told):
    """Credits that go at one moment."""

    amount: int
    expires_at: AwareDatetime


class Wallet(_Told):
    """The balance, as billing has it."""

    available: int
    held: int
    next_expiry: Expiry | None = None


class Subscription(_Told):
    """The plan of the account."""

    plan: str | None
    status: str
    is_subscriber: bool
    subscription_expires_at: AwareDatetime | None = None
    cancel_at_period_end: bool = False


class PriceTag(_Told):
    """What an offer costs."""

    amount: int
    currency: str
    interval: str | None = None
    interval_count: int = 1

    @property
    def period(self) -> str:
        """``a month``, ``every 3 months``."""
        return f"a {self.interval}" if self.interval_count == 1 else f"every {self.interval_count} {self.interval}s"


class Offer(_Told):
    """A pack or a plan."""

    name: str
    kind: str
    amount: int
    price: PriceTag | None = None


class Line(_Told):
    """One line of a movement."""

    account: str
    amount: int


class Movement(_Told):
    """One movement of credits."""

    kind: str
    created_at: AwareDatetime
    job_id: str | None = None
    entries: tuple[Line, ...]
    available_after: int

    def sum_of(self, account: str) -> int:
        """What went into an account, or out of it."""
        return sum(line.amount for line in self.entries if line.account == account)

    @property
    def change(self) -> int:
        """What it changed of the credits that can be spent."""
        return self.sum_of("customer.available")


class _Offers(_Told):
    data: tuple[Offer, ...]


class _Movements(_Told):
    data: tuple[Movement, ...]


@dataclass(frozen=True, slots=True)
class Purse:
    """All of it."""

    wallet: Wallet | None
    subscription: Subscription | None
    offers: tuple[Offer, ...] | None
    movements: tuple[Movement, ...] | None

    @property
    def is_whole(self) -> bool:
        """Whether billing told every part."""
        return None not in (self.wallet, self.subscription, self.offers, self.movements)

    @property
    def packs(self) -> list[Offer]:
        """What is bought once."""
        return [offer for offer in self.offers or () if offer.kind == "pack"]

    @property
    def plans(self) -> list[Offer]:
        """What is paid for every period."""
        return [offer for offer in self.offers or () if offer.kind == "plan"]


class Till:
    """Asks billing on behalf of an account."""

    def __init__(self, client: OwnerClient, billing: Owner) -> None:
        self._client = client
        self._billing = billing

    async def look(self, caller: Caller) -> Purse:
        """Everything that the page shows."""
        wallet, subscription, offers, movements = await asyncio.gather(
            self._ask(caller, "/v1/credits", Wallet),
            self._ask(caller, "/v1/subscription", Subscription),
            self._ask(caller, "/v1/offers", _Offers),
            self._ask(caller, "/v1/credits/transactions", _Movements, query=f"limit={MOVEMENTS}"),
        )
        return Purse(wallet, subscription, offers.data if offers else None, movements.data if movements else None)

    async def _ask(self, caller: Caller, path: str, model: type[M], *, query: str = "") -> M | None:
        try:
            told = await self._client.get_json(
                self._billing, path, caller=caller, query=query, seconds=PATIENCE_SECONDS
            )
            return model.model_validate(told)
        except (httpx2.HTTPError, ValueError) as error:
            log.warning("till.silent", account_id=caller.account_id, path=path, reason=repr(error))
            return None
