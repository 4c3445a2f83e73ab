"""Events in: each handler hands its list to one use case."""

from kit.database import WriteSession
from shared.events import ArtifactProduced, JobRequested
from storage import lineage
from storage.registration import Registrar


class Handlers:
    """The handlers that need a collaborator."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar

    async def on_artifact_produced(self, session: WriteSession, events: list[ArtifactProduced]) -> None:
        """Register artifacts."""
        await self._registrar.announce(session, events)


async def on_job_requested(session: WriteSession, events: list[JobRequested]) -> None:
    """Keep the lineage of jobs that build on assets."""
    await lineage.note_references(session, events)
