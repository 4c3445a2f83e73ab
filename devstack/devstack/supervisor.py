"""Keeps parts running: what ends is started again after a pause that grows while it keeps ending.

An essential part that ends again and again ends the watch instead, because that needs a person; every other part is
tried for ever.
"""

import signal
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from devstack.errors import StackError
from devstack.server import Server

CHECK_SECONDS = 0.2
LONGEST_PAUSE = 10.0
# Ends are counted over this long.
WINDOW_SECONDS = 60.0


@dataclass
class _Ends:
    """When one part ended lately, and when it is started again."""

    at: list[float] = field(default_factory=list)
    due: float | None = None

    def note(self, now: float, first_pause: float) -> None:
        self.at = [moment for moment in self.at if now - moment < WINDOW_SECONDS] + [now]
        self.due = now + min(first_pause * 2 ** (len(self.at) - 1), LONGEST_PAUSE)


class Supervisor:
    """Watches `parts`; those in `essential` may end `tolerated` times a minute."""

    def __init__(
        self, parts: Sequence[Server], *, essential: Collection[Server], tolerated: int = 5, first_pause: float = 0.5
    ) -> None:
        self._parts = parts
        self._essential = {part.name for part in essential}
        self._tolerated = tolerated
        self._first_pause = first_pause
        self._ends = {part.name: _Ends() for part in parts}

    def watch(self, until: threading.Event, say: Callable[[str], None]) -> None:
        """Until `until` is set. Raises StackError when a part cannot be kept running."""
        while not until.wait(CHECK_SECONDS):
            for part in self._parts:
                if part.child.exit_code is not None:
                    self._revive(part, time.monotonic(), say)

    def _revive(self, part: Server, now: float, say: Callable[[str], None]) -> None:
        ends = self._ends[part.name]
        if ends.due is None:
            ends.note(now, self._first_pause)
            if part.name in self._essential and len(ends.at) > self._tolerated:
                raise StackError(
                    f"{part.name} ended {len(ends.at)} times in a minute ({_reason(part)}): "
                    f"see {part.child.log}; the data is kept"
                )
        elif now >= ends.due:
            ends.due = None
            say(f"{part.name} ended ({_reason(part)}) and is started again")
            try:
                part.start()
            except StackError as error:
                if part.name in self._essential:
                    raise
                say(f"{part.name} cannot start: {error}")
                ends.note(now, self._first_pause)


def _reason(part: Server) -> str:
    code = part.child.exit_code or 0
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"status {code}: {part.child.last_line()}"
