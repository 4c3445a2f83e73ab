"""Events in: each handler hands its list to one use case."""

from collections.abc import Sequence
from typing import Any

from billing.bonuses import reward_sign_ins
from billing.grants import open_wallets
from billing.holds import record_outcomes, request_holds
from billing.models import wallets
from billing.terms import Terms
from kit.database import WriteSession
from kit.sql import lock_rows
from shared.events import AccountRegistered, AccountSignedIn, JobRequested
from shared.events.generation import Terminal


async def lock_wallets(session: WriteSession, events: Sequence[Any]) -> None:
    """Lock the known wallets of a batch, in id order."""
    accounts = {event.account_id for event in events if hasattr(event, "account_id")}
    await lock_rows(session, wallets.c.account_id, accounts)


class Handlers:
    """The handlers of billing, under its configured terms."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    async def on_account_registered(self, session: WriteSession, events: list[AccountRegistered]) -> None:
        """Open wallets with the registration bonus."""
        accounts = {event.account_id: event for event in events}
        book = await open_wallets(session, accounts, bonus=self._terms.registration_bonus)
        await book.write(session)

    async def on_account_signed_in(self, session: WriteSession, events: list[AccountSignedIn]) -> None:
        """Give the daily bonus."""
        await reward_sign_ins(session, events, terms=self._terms)

    async def on_job_requested(self, session: WriteSession, events: list[JobRequested]) -> None:
        """Hold the price of jobs, or refuse them."""
        await request_holds(session, events, terms=self._terms)

    async def on_job_ended(self, session: WriteSession, events: Sequence[Terminal]) -> None:
        """Settle jobs."""
        await record_outcomes(session, events, terms=self._terms)
