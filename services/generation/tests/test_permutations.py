"""Order is a help, never a premise: any order of a journey's events, with duplicates, leads to the same end."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from kit import invariants
from kit.service import Service
from kit.testing import records
from shared.contract import Event
from shared.events import JobCancelled, JobFailed, JobRefused, JobSucceeded
from shared.events.generation import Terminal

from .journey import Journey, terminals

Story = Callable[[Journey], Sequence[Event]]

STORIES: dict[str, tuple[Story, type[Terminal], int]] = {
    "delivered": (lambda job: (job.requested(), job.held(), job.stored(0), job.stored(1)), JobSucceeded, 8000),
    "half delivered": (lambda job: (job.requested(), job.held(), job.stored(0), job.rejected(1)), JobSucceeded, 4000),
    "not stored": (lambda job: (job.requested(), job.held(), job.rejected(0), job.rejected(1)), JobFailed, 0),
    "cancelled": (lambda job: (job.requested(), job.held(), job.cancelled()), JobCancelled, 0),
    "refused": (lambda job: (job.requested(), job.refused(), job.cancelled()), JobRefused, 0),
    "overdue": (lambda job: (job.requested(), job.held(), job.overdue()), JobFailed, 0),
}


@st.composite
def orders(draw: st.DrawFn, length: int) -> list[list[int]]:
    """Positions of a story's events in any order, some of them twice, cut into batches."""
    twice = draw(st.lists(st.integers(0, length - 1), max_size=3))
    order = draw(st.permutations([*range(length), *twice]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=3)))
    return [list(order[start:end]) for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]


class TestAnyOrder:
    @pytest.mark.parametrize("name", STORIES)
    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(data=st.data())
    async def test_the_end_is_the_same(self, generation: Service, name: str, data: st.DataObject) -> None:
        story, expected, price = STORIES[name]
        job = Journey(n=2)
        events = story(job)
        for batch in data.draw(orders(len(events))):
            await generation.edge.handle(records(*(events[position] for position in batch)))

        [end] = await terminals(generation, job.job_id)
        assert type(end) is expected
        assert sum(item.price for item in end.items) == price
        assert await invariants.check(generation.db, generation.all_invariants) == []
        async with generation.db.read() as session:
            letters = await session.execute(text("SELECT count(*) FROM dead_letters"))
            assert letters.scalar_one() == 0
