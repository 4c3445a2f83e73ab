"""The daily bonus comes at most once in 24 hours, and once for whatever is redelivered or reordered."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.bonuses import COOLDOWN, MEMORY, earning, forget, thin_out
from kit.testing import emitted, records
from shared.events import CreditsGranted
from shared.ids import new_id

START = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
HOURS = (0, 11, 23, 24, 25, 30, 49, 60, 61)


def at(hours):
    return START + timedelta(hours=hours)


class TestDailyBonus:
    async def test_the_first_sign_in_brings_ten_credits(self, billing, make, account_id, wallet_of):
        signed_in = make.signed_in(account_id, START)
        await billing.edge.handle(records(make.registered(account_id), signed_in))

        granted = (await emitted(billing.db))[-1]
        assert isinstance(granted, CreditsGranted)
        assert (granted.source, granted.reason, granted.amount) == ("bonus", "daily sign-in", 10_000)
        assert granted.envelope.causation_id == signed_in.envelope.id
        assert await wallet_of(account_id) == (60_000, 0)

    async def test_a_sign_in_may_be_the_first_that_billing_hears_of_an_account(
        self, billing, make, account_id, wallet_of
    ):
        await billing.edge.handle(records(make.signed_in(account_id, START)))
        await billing.edge.handle(records(make.registered(account_id)))

        assert await wallet_of(account_id) == (60_000, 0)

    @pytest.mark.parametrize(("hours", "bonuses"), [((0, 23.9), 1), ((0, 24), 2), ((0, 15, 24), 2), ((0, 15, 39), 2)])
    async def test_the_cooldown_is_24_hours_and_not_a_calendar_day(
        self, billing, make, account_id, wallet_of, hours, bonuses
    ):
        for hour in hours:
            await billing.edge.handle(records(make.signed_in(account_id, at(hour))))

        assert await wallet_of(account_id) == (50_000 + bonuses * 10_000, 0)

    async def test_many_accounts_share_a_batch(self, billing, make, rows_of):
        events = [make.signed_in(new_id("acc"), at(hour)) for hour in range(20)]
        again = [make.signed_in(event.account_id, at(70)) for event in events]
        await billing.edge.handle(records(*events, *again))

        assert {row["available"] for row in await rows_of("wallets")} == {70_000}

    @given(
        order=st.lists(st.sampled_from(HOURS), max_size=6).flatmap(lambda repeats: st.permutations([*HOURS, *repeats])),
        cuts=st.sets(st.integers(1, 14), max_size=4),
    )
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_any_order_with_repeats_ends_the_same(self, billing, make, rows_of, order, cuts):
        account_id = new_id("acc")
        messages = records(*(make.signed_in(account_id, at(hour)) for hour in order))
        for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(messages)], strict=True):
            await billing.edge.handle(messages[start:stop])

        (wallet,) = await rows_of("wallets", account_id=account_id)
        grants = await rows_of("grants", account_id=account_id)
        assert (wallet["available"], wallet["version"]) == (80_000, 4)  # at 0, 24 and 49 hours
        assert {grant["key"] for grant in grants} == {
            f"registration:{account_id}",
            *(f"sign-in:{account_id}:{ordinal}" for ordinal in (1, 2, 3)),
        }


minutes = st.integers(0, 4 * 24 * 60)


def in_turn(times, remember):
    """How many bonuses each of these sign-ins, told one after the other, has brought so far, and what is remembered."""
    remembered, before, counts = [], 0, []
    for moment in times:
        remembered, before = forget(remember(sorted({*remembered, moment})), before=before)
        counts.append(max([before + len(earning(remembered)), *counts[-1:]]))
    return counts, remembered


class TestFlood:
    """Whoever signs in all the time is remembered about once an hour, and earns what the full memory would say."""

    @given(times=st.lists(minutes, min_size=1, max_size=200).map(lambda found: [at(m / 60) for m in sorted(found)]))
    def test_in_order_it_earns_the_same(self, times):
        assert in_turn(times, thin_out)[0] == in_turn(times, list)[0]

    @given(times=st.lists(minutes, min_size=1, max_size=60).map(lambda found: [at(m / 60) for m in found]))
    def test_in_any_order_it_earns_no_more(self, times):
        thinned, full = in_turn(times, thin_out)[0], in_turn(times, list)[0]
        assert all(few <= many for few, many in zip(thinned, full, strict=True))

    @given(
        times=st.lists(st.integers(0, 40 * 24), min_size=1, max_size=60, unique=True).map(
            lambda found: [at(hour) for hour in found]
        )
    )
    def test_one_an_hour_is_remembered_in_full(self, times):
        assert in_turn(times, thin_out) == in_turn(times, list)

    async def test_a_flood_is_remembered_once_an_hour(self, billing, make, account_id, rows_of, wallet_of):
        events = [make.signed_in(account_id, START + timedelta(seconds=20 * turn)) for turn in range(1_000)]
        for start in range(0, len(events), 250):
            await billing.edge.handle(records(*events[start : start + 250]))

        (row,) = await rows_of("sign_ins")
        assert len(row["times"]) == 7  # in 5 hours and 33 minutes from half past nine, the first among them
        assert await wallet_of(account_id) == (60_000, 0)


class TestForgetting:
    """Sign-ins are not kept for ever, and forgetting them changes no count."""

    @given(days=st.lists(st.integers(0, 200 * 24), min_size=1, max_size=60).map(sorted))
    def test_what_is_forgotten_has_been_counted(self, days):
        times = [at(hours) for hours in days]
        remembered, before, counts = [], 0, []
        for moment in times:
            remembered, before = forget([*remembered, moment], before=before)
            counts.append(before + len(earning(remembered)))

        assert counts == [len(earning(times[: index + 1])) for index in range(len(times))]
        old = [moment for moment in remembered if moment <= remembered[-1] - MEMORY]
        assert all(moment < old[0] + COOLDOWN for moment in old)
