"""Events in: each handler hands its list to one use case."""

from collections.abc import Sequence

from kit.database import WriteSession, after_commit
from kit.leases import LeaseWorker
from kit.sql import lock_rows
from publishing.models import deliveries
from publishing.planning import delivery_id, plan_outcomes, plan_targets
from shared.contract import Event
from shared.events import JobRequested
from shared.events.generation import Terminal


async def lock_deliveries(session: WriteSession, events: Sequence[Event]) -> None:
    """Lock the known deliveries of a batch, in id order."""
    jobs = {event.correlation_id for event in events if event.correlation_id is not None}
    await lock_rows(session, deliveries.c.id, map(delivery_id, jobs))


class Handlers:
    """The handlers of publishing; they wake the worker when a delivery became due."""

    def __init__(self, worker: LeaseWorker) -> None:
        self._worker = worker

    async def on_job_requested(self, session: WriteSession, events: list[JobRequested]) -> None:
        """Note where outcomes go."""
        if await plan_targets(session, events):
            after_commit(session, self._worker.wake)

    async def on_job_ended(self, session: WriteSession, events: Sequence[Terminal]) -> None:
        """Note what is to be delivered."""
        if await plan_outcomes(session, events):
            after_commit(session, self._worker.wake)
