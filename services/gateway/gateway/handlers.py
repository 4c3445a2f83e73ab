"""Events in: every event of a job goes into its journal, and what it says of wallets into the balances."""

from collections.abc import Sequence

from gateway import projections
from gateway.projections import keep_balances, project
from kit.database import WriteSession
from kit.signals import Signals
from shared.contract import Event
from shared.events import (
    CreditsClawedBack,
    CreditsExpired,
    CreditsGranted,
    CreditsHeld,
    CreditsRefused,
    CreditsSettled,
    DeliveryFailed,
    DeliverySucceeded,
)
from shared.events.generation import Terminal


class Handlers:
    """The handlers, with the signals that wake live streams."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    async def on_wallet_changed(
        self, session: WriteSession, events: Sequence[CreditsGranted | CreditsExpired | CreditsClawedBack]
    ) -> None:
        """Credits came or went without a job."""
        await keep_balances(session, [(e.account_id, e.available, e.held, e.wallet_version) for e in events])

    async def on_credits_held(self, session: WriteSession, events: list[CreditsHeld]) -> None:
        """The job runs."""
        await project(session, events, self._signals, change=projections.held)
        await keep_balances(session, [(e.account_id, e.available, e.held, e.wallet_version) for e in events])

    async def on_credits_settled(self, session: WriteSession, events: list[CreditsSettled]) -> None:
        """The job is paid."""
        await project(session, events, self._signals, change=projections.settled)
        await keep_balances(session, [(e.account_id, e.available, e.wallet_held, e.wallet_version) for e in events])

    async def on_credits_refused(self, session: WriteSession, events: list[CreditsRefused]) -> None:
        """The job costs nothing."""
        await project(session, events, self._signals, change=projections.credits_refused)

    async def on_noted(self, session: WriteSession, events: Sequence[Event]) -> None:
        """Something happened that only the journal tells."""
        await project(session, events, self._signals, change=projections.nothing)

    async def on_job_ended(self, session: WriteSession, events: Sequence[Terminal]) -> None:
        """The job has its outcome."""
        await project(session, events, self._signals, change=projections.ended)

    async def on_delivery_ended(
        self, session: WriteSession, events: Sequence[DeliverySucceeded | DeliveryFailed]
    ) -> None:
        """The outcome left Atelier, or could not."""
        await project(session, events, self._signals, change=projections.delivered)
