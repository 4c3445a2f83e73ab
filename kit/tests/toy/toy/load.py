"""Marks committed without a pause, and the demand that each of them counts exactly once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from sqlalchemy import insert, select

from kit import outbox
from kit.database import is_transient
from kit.service import Service
from kit.testing import eventually
from toy.events import COUNTS, MARKS, MarkMade
from toy.models import calls
from toy.reading import letters, log_of, settled, total

THINGS = 20
BATCH = 10
LEAD = 300
MADE = "load"


class Load:
    """Commits marks a little ahead of their counting: whatever dies, dies in the middle of work.

    Each transaction also notes its marks in ``calls``: whether it became durable is for the database to say, because
    a server that is killed during COMMIT does not tell.
    """

    def __init__(self, toy: Service) -> None:
        self._toy = toy
        self._stopping = False
        self._task = asyncio.create_task(self._work())

    async def progress(self, marks: int) -> None:
        """Wait until so many more marks were counted."""
        goal = 0

        async def reached() -> bool:
            nonlocal goal
            counted = await total(self._toy)
            goal = goal or counted + marks
            return counted >= goal

        await eventually(reached, timeout=60)

    async def stop(self) -> None:
        """Commit no more."""
        self._stopping = True
        await self._task

    async def assert_exact(self) -> None:
        """All is sent and acknowledged; each mark counted once and caused an event; nothing was set aside."""
        await self.stop()
        await eventually(lambda: settled(self._toy), timeout=60)
        made = await self._made()
        assert await total(self._toy) == len(made)
        assert await letters(self._toy) == []
        log = await log_of(self._toy, COUNTS)
        assert {dict(record.headers)["ce_causationid"].decode() for record in log} == set(made)

    async def assert_in_order(self) -> None:
        """The marks of each thing stand in the log as they were committed, copies aside."""
        committed = {identifier: position for position, identifier in enumerate(await self._made())}
        positions: dict[bytes, dict[int, None]] = {}
        for record in await log_of(self._toy, MARKS):
            position = committed[dict(record.headers)["ce_id"].decode()]
            positions.setdefault(record.key, {}).setdefault(position)
        assert {key: list(found) for key, found in positions.items()} == {
            key: sorted(found) for key, found in positions.items()
        }

    async def _work(self) -> None:
        number = 0
        while not self._stopping:
            try:
                await self._commit(number)
                number += BATCH
            except Exception as error:
                if not is_transient(error):
                    raise
            await eventually(partial(self._may_go_on, number), timeout=60)

    async def _may_go_on(self, number: int) -> bool:
        return self._stopping or number - await total(self._toy) < LEAD

    async def _commit(self, number: int) -> None:
        events = [MarkMade(thing=f"thing-{(number + index) % THINGS}") for index in range(BATCH)]
        async with self._toy.db.write() as session:
            for event in events:
                outbox.add(session, event)
            ids = ",".join(event.envelope.id for event in events)
            await session.execute(insert(calls).values(type=MADE, things=ids))

    async def _made(self) -> list[str]:
        """The ids of all committed marks, in the order of their commits."""
        async with self._toy.db.read() as session:
            rows = await session.execute(select(calls.c.things).where(calls.c.type == MADE).order_by(calls.c.id))
            return [identifier for row in rows for identifier in row.things.split(",")]


@asynccontextmanager
async def load(toy: Service) -> AsyncIterator[Load]:
    """Load until the block ends."""
    working = Load(toy)
    try:
        yield working
    finally:
        await working.stop()
