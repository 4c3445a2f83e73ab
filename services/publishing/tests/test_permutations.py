"""Events of a job come in any order, more than once; what is planned does not depend on it."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from kit import testing
from kit.invariants import check
from kit.testing import records
from publishing.app import build
from publishing.models import deliveries
from publishing.settings import PublishingSettings


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
                rows = (await session.execute(select(deliveries).order_by(deliveries.c.id))).all()
            violations = await check(service.db, service.all_invariants)

        assert violations == []
        assert [(row.id, row.state, row.causation_id) for row in rows] == sorted(
            [(one.delivery_id, "delivering", one.ended.envelope.id) for one in made]
            + [(half.delivery_id, "waiting", half.ended.envelope.id)]
        )
        assert all(row.url == "https://example.com/hook" for row in rows if row.state == "delivering")
