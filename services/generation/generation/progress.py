"""Progress of items, as signals that may be lost: facts travel as events. The last one of each item is kept."""

from collections.abc import Iterable

from generation.steps import Item
from kit.signals import Signals

SUBMITTED_PERCENT, PRODUCED_PERCENT, STORED_PERCENT = 10, 80, 100


class Progress:
    """Tells whoever watches a job how far its items are."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def submitted(self, item: Item) -> None:
        """A provider is asked for the picture."""
        self._send([(item.job_id, item.number)], "submitted", SUBMITTED_PERCENT)

    def produced(self, item: Item) -> None:
        """The picture is made and lies in S3."""
        self._send([(item.job_id, item.number)], "produced", PRODUCED_PERCENT)

    def stored(self, items: Iterable[tuple[str, int]]) -> None:
        """Storage has the pictures; ``items`` are job ids with item numbers."""
        self._send(items, "stored", STORED_PERCENT)

    def _send(self, items: Iterable[tuple[str, int]], phase: str, percent: int) -> None:
        progress = {"type": "progress", "phase": phase, "percent": percent}
        self._signals.send(*((job_id, {**progress, "item": item}) for job_id, item in items), last_of="item")
