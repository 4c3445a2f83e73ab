"""What names, such as accounts, share: places that they wait for, and turns of which each has a few."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager


class NoPlaceError(TimeoutError):
    """None came in time: more is asked for than can be done."""


class Turns:
    """``most`` of one name may be under way in this process; one more raises what ``refuse(most)`` returns."""

    def __init__(self, most: int, refuse: Callable[[int], Exception]) -> None:
        self._most = most
        self._refuse = refuse
        self._running: Counter[str] = Counter()

    def are_taken(self, name: str) -> bool:
        """Whether the next one would be refused."""
        return self._running[name] >= self._most

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Count one while the block runs."""
        if self.are_taken(name):
            raise self._refuse(self._most)
        self._running[name] += 1
        try:
            yield
        finally:
            self._running[name] -= 1
            if not self._running[name]:
                del self._running[name]


class Places:
    """``count`` places. The next one is for the name that had none for the longest; within a name, for who came first.

    ``shared``: a name may hold as many as it leaves free, so that whoever comes next finds one. Else a lone name may
    hold all.
    """

    def __init__(self, count: int, *, shared: bool = False) -> None:
        self._free = count
        self._shared = shared
        self._held: Counter[str] = Counter()
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}  # in the order of the names' turns

    @asynccontextmanager
    async def place(self, name: str, *, patience: float) -> AsyncIterator[None]:
        """A place for as long as the block runs. Raises NoPlaceError when none comes within ``patience`` seconds."""
        given = asyncio.get_running_loop().create_future()
        self._lines.setdefault(name, deque()).append(given)
        self._serve()
        try:
            try:
                async with asyncio.timeout(patience):
                    await given
            except TimeoutError as error:
                raise NoPlaceError(f"no place within {patience:g} s") from error
            yield
        finally:
            if given.cancelled():
                self._give_up(name, given)
            else:  # also when it was given in the moment in which nobody waited for it any more
                self._leave(name)

    def _give_up(self, name: str, given: asyncio.Future[None]) -> None:
        line = self._lines.get(name)
        if line is not None and given in line:  # else it was passed over meanwhile
            line.remove(given)
            if not line:
                del self._lines[name]

    def _leave(self, name: str) -> None:
        self._free += 1
        self._held[name] -= 1
        if not self._held[name]:
            del self._held[name]
        self._to_the_back(name)
        self._serve()

    def _serve(self) -> None:
        while (name := self._next()) is not None:
            given = self._lines[name].popleft()
            if not given.cancelled():
                self._free -= 1
                self._held[name] += 1
                given.set_result(None)
            self._to_the_back(name)

    def _next(self) -> str | None:
        if not self._free:
            return None
        return next((name for name in self._lines if not self._shared or self._held[name] < self._free), None)

    def _to_the_back(self, name: str) -> None:
        if line := self._lines.pop(name, None):
            self._lines[name] = line
