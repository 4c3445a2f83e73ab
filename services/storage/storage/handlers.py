"""Events in: each handler hands its list to one use case."""

from kit.database import WriteSession
from shared.events import ArtifactProduced
from storage.registration import Registrar


class Handlers:
    """The handlers of storage."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar

    async def on_artifact_produced(self, session: WriteSession, events: list[ArtifactProduced]) -> None:
        """Register artifacts."""
        await self._registrar.announce(session, events)
