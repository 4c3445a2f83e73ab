"""Whatever the order in which events arrive, how often, and in which batches, customers see the same in the end."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit import invariants
from kit.testing import records
from shared.ids import new_id


def journeys(make, account_id):
    """Four jobs of one account: delivered with a webhook, refused, cancelled before that, and forgotten by gateway."""
    delivered, refused, cancelled, forgotten = (new_id("job") for _ in range(4))
    return [
        make.granted(account_id, available=50_000),
        *make.journey(account_id, delivered),
        make.delivered(account_id, delivered),
        make.credits_refused(account_id, refused),
        make.refused(account_id, refused),
        make.cancelled(account_id, cancelled),
        make.credits_refused(account_id, cancelled),
        *make.journey(account_id, forgotten),
    ]


SIZE = 16


async def end_state(rows_of, account_id, events):
    """What is left of the journeys, without what differs from run to run."""
    kept = ("status", "rank", "failure", "detail", "needed", "available", "held", "captured", "released", "delivery")
    ids = list(dict.fromkeys(event.job_id for event in events if hasattr(event, "job_id")))
    jobs = [
        (ids.index(row["id"]), *(row[name] for name in kept), [item["outcome"] for item in row["items"]])
        for row in await rows_of("jobs", account_id=account_id)
    ]
    entries = [(ids.index(row["job_id"]), row["type"]) for row in await rows_of("job_events") if row["job_id"] in ids]
    (balance,) = await rows_of("balances", account_id=account_id)
    return sorted(jobs, key=str), sorted(entries), (balance["available"], balance["held"], balance["version"])


class TestPermutations:
    @given(
        order=st.lists(st.sampled_from(range(SIZE)), max_size=8).flatmap(
            lambda repeats: st.permutations([*range(SIZE), *repeats])
        ),
        cuts=st.sets(st.integers(1, SIZE + 7), max_size=6),
    )
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_any_order_with_repeats_ends_the_same(self, gateway, open_account, make, rows_of, order, cuts):
        (one, _), (other, _) = await open_account(), await open_account()
        straight, shuffled = journeys(make, one), journeys(make, other)
        assert len(straight) == SIZE
        for event in straight:
            await gateway.edge.handle(records(event))
        expected = await end_state(rows_of, one, straight)

        messages = records(*(shuffled[index] for index in order))
        for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(messages)], strict=True):
            await gateway.edge.handle(messages[start:stop])

        assert await end_state(rows_of, other, shuffled) == expected
        assert await invariants.check(gateway.db, gateway.all_invariants) == []
