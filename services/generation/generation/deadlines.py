"""The timer of each run: its deadline."""

from collections.abc import Sequence

from generation import runs
from generation.models import RunState
from generation.models import runs as table
from kit.coalescer import Coalescer
from kit.database import Database, WriteSession
from kit.leases import Lease, LeaseWorker

CONCURRENCY = 64
LEASE_SECONDS = 30.0


class Deadlines:
    """Ends overdue runs, many in one transaction."""

    def __init__(self, db: Database) -> None:
        self._coalescer: Coalescer[Lease, None] = Coalescer(db, _ring, service="generation")
        self.worker = LeaseWorker(
            db, table, self._work, service="generation", concurrency=CONCURRENCY, lease_seconds=LEASE_SECONDS
        )

    async def _work(self, lease: Lease) -> None:
        await self._coalescer.submit(lease)


async def _ring(session: WriteSession, leases: Sequence[Lease]) -> list[None]:
    locked = await runs.lock(session, [lease.id for lease in leases])
    mine = [run for lease in leases if (run := locked.get(lease.id)) is not None and run.lease_token == lease.token]
    late = [run for run in mine if run.state != RunState.ENDED]
    await runs.expire(session, late, causes={run.job_id: run.causation_id for run in late})
    return [None] * len(leases)
