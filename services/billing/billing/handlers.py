"""Events in: each handler hands its list to one use case."""

from collections.abc import Sequence

from billing.grants import open_wallets
from billing.holds import Terms, record_outcomes, request_holds
from kit.database import WriteSession
from shared.events import AccountRegistered, JobRequested
from shared.events.generation import Terminal


class Handlers:
    """The handlers of billing, under its configured terms."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    async def on_account_registered(self, session: WriteSession, events: list[AccountRegistered]) -> None:
        """Open wallets with the registration bonus."""
        accounts = {event.account_id: event for event in events}
        book = await open_wallets(session, accounts, bonus=self._terms.registration_bonus)
        await book.write(session)

    async def on_job_requested(self, session: WriteSession, events: list[JobRequested]) -> None:
        """Hold the price of jobs, or refuse them."""
        await request_holds(session, events, terms=self._terms)

    async def on_job_ended(self, session: WriteSession, events: Sequence[Terminal]) -> None:
        """Settle jobs."""
        await record_outcomes(session, events, terms=self._terms)
