"""What must always hold is checked of what changed lately, however much has been kept."""

from sqlalchemy import text

from kit.invariants import check
from kit.testing import records


class TestAttempts:
    async def test_a_gap_is_told_of_what_ended_within_a_day(
        self, publishing, working, journey, receiver, told, rows
    ) -> None:
        made = journey(receiver.url)
        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            await told()

        async def change(assignment: str) -> list[str]:
            async with publishing.db.write() as session:
                await session.execute(text(f"UPDATE deliveries SET {assignment}"))
            return [violation.invariant.name for violation in await check(publishing.db, publishing.all_invariants)]

        assert await change("attempt_count = 2") == ["attempts_are_counted"]
        assert await change("ended_at = now() - interval '25 hours'") == []
