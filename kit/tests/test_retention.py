"""Rows whose time is over, against a real PostgreSQL."""

from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Column, Integer, MetaData, Table, func, select, text

from kit.retention import CHUNK, Retention, Rule, kernel_rules
from kit.service import Service
from kit.tables import inbox


async def remembered(toy: Service) -> int:
    async with toy.db.read() as session:
        return int((await session.execute(select(func.count()).select_from(inbox))).scalar_one())


class TestSweep:
    async def test_more_than_a_chunk_goes_and_what_is_young_stays(self, toy: Service) -> None:
        async with toy.db.write() as session:
            for days, number in ((31, 2 * CHUNK + 1), (29, 3)):
                old = text(
                    "INSERT INTO inbox SELECT uuidv7(make_interval(days => :days)) FROM generate_series(1, :number)"
                )
                await session.execute(old, {"days": -days, "number": number})

        await Retention(toy.db, kernel_rules(outbox_keep=timedelta())).sweep(datetime.now(UTC))

        assert await remembered(toy) == 3

    async def test_a_rule_that_cannot_be_followed_is_told_and_holds_up_no_other(self, toy: Service) -> None:
        missing = Table("missing", MetaData(), Column("id", Integer, primary_key=True))
        broken = Rule(missing.c.id, lambda _: missing.c.id > 0)
        async with toy.db.write() as session:
            await session.execute(text("INSERT INTO inbox VALUES (uuidv7(interval '-31 days'))"))

        with structlog.testing.capture_logs() as logs:
            await Retention(toy.db, (broken, *kernel_rules(outbox_keep=timedelta()))).sweep(datetime.now(UTC))

        assert await remembered(toy) == 0
        assert [(entry["event"], entry["table"]) for entry in logs] == [("retention.skipped", "missing")]
