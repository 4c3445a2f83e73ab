"""Order is a help, never a premise: any order of a journey's events, with repeats, ends the same."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.app import build
from billing.settings import BillingSettings
from kit import invariants, testing
from kit.testing import emitted, records
from shared.ids import new_id

CREDITS = 40


def journeys(make):
    """The events of one account: a job delivered in part, one lost, one cancelled, and two that are refused."""
    account_id = new_id("acc")
    partly = make.requested(account_id, input={"n": 2})
    lost = make.requested(account_id, input={"quality": "hd"})
    stopped = make.requested(account_id)
    dear = make.requested(account_id, input={"n": 4, "quality": "hd", "size": "1792x1024"})
    wrong = make.requested(account_id, price=1)
    return [
        make.registered(account_id),
        partly,
        make.succeeded(partly, make.delivered(0, 4_000), make.failed(1, "rate_limited")),
        lost,
        make.job_failed(lost, make.failed(0, "outcome_unknown", loss=8_000)),
        stopped,
        make.cancelled(stopped),
        dear,
        make.refused(dear, "insufficient_credits"),
        wrong,
        make.refused(wrong, "price_mismatch"),
    ]


SIZE = 11


async def end_state(service, events, rows_of):
    """What is left of a journey, without the ids that differ from run to run."""
    jobs = list(dict.fromkeys(event.job_id for event in events if hasattr(event, "job_id")))
    account_id = events[0].account_id
    (wallet,) = await rows_of("wallets", account_id=account_id)
    (grant,) = await rows_of("grants", account_id=account_id)
    holds = {row["job_id"]: row for row in await rows_of("holds", account_id=account_id)}
    facts = ("state", "price", "held", "refusal", "outcome", "owed", "written_off", "captured", "released", "loss")
    booked = {row["id"]: row for row in await rows_of("transactions", account_id=account_id)}
    lines = Counter(
        (booked[row["transaction_id"]]["kind"], jobs.index(job_id) if job_id else None, row["account"], row["amount"])
        for row in await rows_of("entries")
        if row["transaction_id"] in booked
        for job_id in [booked[row["transaction_id"]]["job_id"]]
    )
    told = Counter(
        (type(event).__name__, jobs.index(event.job_id) if hasattr(event, "job_id") else None)
        for event in await emitted(service.db)
        if event.account_id == account_id
    )
    return (
        (wallet["available"], wallet["held"], wallet["version"], grant["remaining"]),
        [[holds[job_id][fact] for fact in facts] for job_id in jobs],
        lines,
        told,
    )


class TestPermutations:
    @pytest.fixture
    async def billing(self, stack):
        async with testing.service("billing", BillingSettings, build, stack, registration_credits=CREDITS) as service:
            yield service

    @given(
        order=st.lists(st.sampled_from(range(SIZE)), max_size=8).flatmap(
            lambda repeats: st.permutations([*range(SIZE), *repeats])
        ),
        cuts=st.sets(st.integers(1, SIZE + 7), max_size=6),
    )
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_any_order_with_repeats_ends_the_same(self, billing, make, rows_of, order, cuts):
        straight, shuffled = journeys(make), journeys(make)
        for event in straight:
            await billing.edge.handle(records(event))
        expected = await end_state(billing, straight, rows_of)

        messages = records(*(shuffled[index] for index in order))
        for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(messages)], strict=True):
            await billing.edge.handle(messages[start:stop])

        assert await end_state(billing, shuffled, rows_of) == expected
        assert await invariants.check(billing.db, billing.all_invariants) == []
