"""The whole path of an event: commit, outbox, relay, Kafka, consumer edge, handler, and the event it causes."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from kit import outbox, topics
from kit.database import Database
from kit.service import Service
from kit.testing import emitted, eventually
from toy.events import MarkMade


async def count_of(db: Database, thing: str) -> int | None:
    async with db.read() as session:
        return (await session.execute(text("SELECT count FROM counts WHERE thing = :t"), {"t": thing})).scalar()


class TestPath:
    async def test_a_committed_event_is_handled_and_its_effect_is_committed(self, toy: Service) -> None:
        await topics.ensure(
            toy.settings.kafka_bootstrap, toy.all_topics, prefix=toy.settings.kafka_topic_prefix, replication=1
        )
        async with toy.running():
            async with toy.db.write() as session:
                outbox.add(session, MarkMade(thing="lamp"))
                outbox.add(session, MarkMade(thing="lamp"))

            await eventually(lambda: _is(toy.db, "lamp", 2))
            await eventually(lambda: _drained(toy.db))

    async def test_a_rolled_back_event_is_never_sent(self, toy: Service) -> None:
        with pytest.raises(DBAPIError, match="division by zero"):  # noqa: PT012
            async with toy.db.write() as session:
                outbox.add(session, MarkMade(thing="lamp"))
                await session.execute(text("SELECT 1/0"))

        assert await emitted(toy.db) == []


async def _is(db: Database, thing: str, expected: int) -> bool:
    return await count_of(db, thing) == expected


async def _drained(db: Database) -> bool:
    async with db.read() as session:
        return (await outbox.pending(session))[0] == 0
