"""Places that accounts share: an account's share is what it leaves free, and the next is for whoever waits unserved."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    account_id: str
    # unlike a future or a queue's item it takes no harm from who is cancelled in the moment of being served
    served: asyncio.Event = field(default_factory=asyncio.Event)


class Places:
    """``count`` places. Of several no account can hold all; of those who wait, who had one the longest ago is next."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._held: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        self._turns = 0
        self._last: dict[str, int] = {}

    @asynccontextmanager
    async def place(self, account_id: str, *, patience: float) -> AsyncIterator[None]:
        """Hold a place while the block runs. Raises TimeoutError when none comes within ``patience`` seconds."""
        waiter = _Waiter(account_id)
        self._waiting.append(waiter)
        self._serve()
        try:
            if not waiter.served.is_set():
                async with asyncio.timeout(patience):
                    await waiter.served.wait()
            yield
        finally:
            if waiter.served.is_set():
                self._free += 1
                self._held[account_id] -= 1
            else:
                self._waiting.remove(waiter)
            self._serve()
            self._forget(account_id)

    def _serve(self) -> None:
        while ready := [waiter for waiter in self._waiting if self._held[waiter.account_id] < self._free]:
            following = min(ready, key=lambda waiter: self._last.get(waiter.account_id, 0))
            self._waiting.remove(following)
            self._free -= 1
            self._held[following.account_id] += 1
            self._turns += 1
            self._last[following.account_id] = self._turns
            following.served.set()

    def _forget(self, account_id: str) -> None:
        """Only those who hold a place or wait for one are kept in mind."""
        if not self._held[account_id] and all(waiter.account_id != account_id for waiter in self._waiting):
            del self._held[account_id]
            self._last.pop(account_id, None)
