"""Both halves of a delivery meet in one row, in whatever order and however often they come."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from kit import testing
from kit.invariants import check
from kit.testing import records
from publishing.app import build
from publishing.settings import PublishingSettings

ROWS = (
    "SELECT id, account_id, job_id, state, url, type, body, cause, failures, attempt_count FROM deliveries ORDER BY id"
)


class TestHalves:
    async def test_the_request_alone_waits(self, publishing, journey, rows) -> None:
        await publishing.edge.handle(records(journey("http://127.0.0.1:1/").requested))

        assert [row["state"] for row in await rows(ROWS)] == ["waiting"]

    async def test_the_end_alone_waits(self, publishing, journey, rows) -> None:
        await publishing.edge.handle(records(journey("http://127.0.0.1:1/").ended))

        assert [row["state"] for row in await rows(ROWS)] == ["waiting"]

    async def test_a_second_outcome_of_a_job_changes_nothing(self, publishing, journey, rows) -> None:
        made = journey("http://127.0.0.1:1/")
        await publishing.edge.handle(records(made.requested, made.ended))
        before = await rows(ROWS)

        await publishing.edge.handle(records(made.ended.model_copy(update={"items": ()}).stamp()))

        assert await rows(ROWS) == before

    async def test_a_batch_of_many_jobs_is_planned_at_once(self, publishing, journey, rows) -> None:
        made = [journey("http://127.0.0.1:1/") for _ in range(60)]

        await publishing.edge.handle(records(*(one.requested for one in made), *(one.ended for one in made)))

        assert [row["state"] for row in await rows(ROWS)] == ["delivering"] * 60


class TestPermutation:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5))
    async def test_any_order_with_any_duplicates_ends_in_the_same_state(
        self, stack, journey, settings_for_tests, seed, sizes
    ) -> None:
        chance = random.Random(seed)
        made = [journey("https://example.com/hook") for _ in range(3)]
        half = journey("https://example.com/hook")
        batch = records(*(one.requested for one in made), *(one.ended for one in made), half.ended)
        delivered = batch + chance.choices(batch, k=5)
        chance.shuffle(delivered)

        async with testing.service("publishing", PublishingSettings, build, stack, **settings_for_tests) as service:
            while delivered:
                size = chance.choice(sizes)
                await service.edge.handle(delivered[:size])
                delivered = delivered[size:]
            async with service.db.read() as session:
                rows = (await session.execute(text(ROWS))).all()
            violations = await check(service.db, service.all_invariants)

        assert violations == []
        assert [(row.id, row.state, row.cause) for row in rows] == sorted(
            [(one.delivery_id, "delivering", one.ended.envelope.id) for one in made]
            + [(half.delivery_id, "waiting", half.ended.envelope.id)]
        )
        assert all(row.url == "https://example.com/hook" for row in rows if row.state == "delivering")
