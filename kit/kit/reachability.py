"""Whether an outside server answers, as whoever speaks to it finds out by the way."""

import structlog

log = structlog.get_logger()


class Reachability:
    """Remembers whether ``server`` did what it was last asked for, and says so once when it goes away and once when it
    is back: ``<server>.lost``, ``<server>.returned``. Until it was asked it counts as there.
    """

    def __init__(self, server: str, **about: str) -> None:
        self.answered = True
        self._server = server
        self._about = about

    def note(self, *, answered: bool, **why: str) -> None:
        """It was asked for something just now."""
        if answered != self.answered:
            told = f"{self._server}.{'returned' if answered else 'lost'}"
            log.warning(told, **self._about, **why)
        self.answered = answered
