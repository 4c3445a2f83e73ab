"""Ended deliveries are kept as long as the setting says, with their attempts."""

from datetime import UTC, datetime, timedelta

from kit.retention import Retention
from kit.testing import records
from publishing.retention import rules


class TestRetention:
    async def test_only_what_has_ended_long_ago_is_deleted_with_its_attempts(
        self, publishing, working, journey, receiver, told, rows
    ) -> None:
        ended, waiting = journey(receiver.url), journey(receiver.url)
        async with working(publishing):
            await publishing.edge.handle(records(ended.requested, ended.ended, waiting.requested))
            await told()
        retention, now = Retention(publishing.db, rules(keep=timedelta(days=90))), datetime.now(UTC)
        await retention.sweep(now + timedelta(days=89))
        assert len(await rows("SELECT 1 FROM attempts")) == 1
        await retention.sweep(now + timedelta(days=91))

        assert [row["id"] for row in await rows("SELECT id FROM deliveries")] == [waiting.delivery_id]
        assert await rows("SELECT 1 FROM attempts") == []
