"""Spend limits: counted with the hold, told once per threshold and period, and every refusal says which cap."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text

from billing.spend_limits import GRACE, Cost, SpendLimit, period_start
from kit import testing
from kit.testing import emitted, records
from shared.events import BalanceLow, CreditsHeld, CreditsRefused, SpendAlert
from shared.ids import new_id

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def a_limit(**changes):
    values = {
        "id": "cap_1",
        "account_id": "acc_1",
        "api_key_id": None,
        "campaign_id": None,
        "measure": "credits",
        "period": "day",
        "cap": 10_000,
        "period_start": period_start("day", NOON),
        "used": 0,
        "told": 0,
        "reached_at": None,
    }
    return SpendLimit(**values | changes)


def cost(amount):
    return Cost(credits=amount, micro_usd=0)


async def set_limit(service, account_id, **wanted):
    async with testing.client(service, account_id=account_id) as http:
        return await http.post("/v1/spend-limits", json={"measure": "credits", "period": "month", **wanted})


async def shown(service, account_id):
    async with testing.client(service, account_id=account_id) as http:
        return (await http.get("/v1/spend-limits")).json()["data"]


async def told(service, kind):
    return [event for event in await emitted(service.db) if isinstance(event, kind)]


class TestStates:
    def test_a_reached_cap_has_a_day_of_grace_and_is_paused_then(self):
        limit = a_limit(period="month", period_start=period_start("month", NOON))
        assert limit.state(NOON) == "active"
        limit.count(cost(10_000), NOON)

        assert limit.state(NOON) == "grace"
        assert limit.state(NOON + GRACE) == "paused"
        assert limit.refuses(cost(0), NOON)

    def test_raising_the_cap_makes_it_active_and_lowering_it_reached(self):
        limit = a_limit()
        limit.count(cost(10_000), NOON)
        limit.change_cap(20_000, NOON)
        assert limit.state(NOON) == "active"
        assert not limit.refuses(cost(10_000), NOON)

        limit.change_cap(5_000, NOON)
        assert limit.state(NOON) == "grace"

    @pytest.mark.parametrize(("period", "later"), [("day", timedelta(hours=12)), ("month", timedelta(days=10))])
    def test_the_turn_of_the_period_makes_it_active(self, period, later):
        limit = a_limit(period=period, period_start=period_start(period, NOON))
        limit.count(cost(10_000), NOON)
        limit.turn(NOON + later)

        assert (limit.state(NOON + later), limit.used, limit.told) == ("active", 0, 0)

    def test_a_job_that_does_not_fit_reaches_the_cap_unless_it_never_could(self):
        limit = a_limit()
        limit.count(cost(5_000), NOON)

        assert limit.refuses(cost(10_001), NOON)
        assert limit.state(NOON) == "active"
        assert limit.refuses(cost(6_000), NOON)
        assert limit.state(NOON) == "grace"

    @given(costs=st.lists(st.integers(1, 6_000), max_size=20))
    def test_no_more_than_the_cap_is_used_and_each_threshold_told_once(self, costs):
        limit = a_limit()
        news = []
        for amount in costs:
            if not limit.refuses(cost(amount), NOON):
                limit.count(cost(amount), NOON)
            news += limit.news()

        assert limit.used <= limit.cap
        assert news == sorted(set(news))
        assert news == [threshold for threshold in (50, 80, 100) if limit.told >= threshold]


class TestGuard:
    async def test_credits_are_counted_and_alerts_told_until_the_cap(self, billing, make, account_id, wallet_of):
        limit = (await set_limit(billing, account_id, cap=10_000)).json()
        await billing.edge.handle(records(*(make.requested(account_id) for _ in range(4))))

        held, refused = await told(billing, CreditsHeld), await told(billing, CreditsRefused)
        assert (len(held), len(refused)) == (2, 2)
        assert {event.code for event in refused} == {"spend_cap_reached"}
        assert limit["id"] in refused[0].detail
        alerts = await told(billing, SpendAlert)
        assert [(alert.threshold, alert.used, alert.state) for alert in alerts] == [
            (50, 8_000, "active"),
            (80, 8_000, "active"),
            (100, 8_000, "grace"),
        ]
        assert await wallet_of(account_id) == (42_000, 8_000)
        (now,) = await shown(billing, account_id)
        assert (now["used"], now["state"], now["unit"]) == (8_000, "grace", "millicredits")

    async def test_jobs_and_provider_dollars_are_counted_too(self, billing, make, account_id):
        await set_limit(billing, account_id, measure="jobs", period="day", cap=100)
        await set_limit(billing, account_id, measure="provider_usd", period="day", cap=1_000_000)
        await billing.edge.handle(records(make.requested(account_id, input={"n": 2, "quality": "hd"})))

        used = {limit["measure"]: limit["used"] for limit in await shown(billing, account_id)}
        assert used == {"jobs": 1, "provider_usd": 249_600}

    async def test_a_gateway_whose_clock_is_wrong_changes_no_count(self, billing, make, account_id):
        await set_limit(billing, account_id, measure="provider_usd", period="day", cap=1_000_000)
        skewed = [datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)]
        await billing.edge.handle(records(*(make.requested(account_id, requested_at=when) for when in skewed)))

        (limit,) = await shown(billing, account_id)
        assert limit["used"] == 2 * 31_700

    async def test_a_limit_of_an_api_key_counts_its_jobs_alone(self, billing, make, account_id):
        key = new_id("key")
        await set_limit(billing, account_id, measure="jobs", cap=1, api_key_id=key)
        jobs = [make.requested(account_id, api_key_id=key) for _ in range(2)]
        others = [make.requested(account_id), make.requested(account_id, api_key_id=new_id("key"))]
        await billing.edge.handle(records(*jobs, *others))

        (refused,) = await told(billing, CreditsRefused)
        assert refused.job_id == jobs[1].job_id
        assert key in refused.detail

    @pytest.mark.parametrize(("measure", "cap"), [("jobs", 1), ("credits", 4_000), ("provider_usd", 31_700)])
    async def test_a_limit_of_a_campaign_counts_its_jobs_alone_whatever_their_key(
        self, billing, make, account_id, measure, cap
    ):
        campaign = new_id("cmp")
        limit = (await set_limit(billing, account_id, measure=measure, cap=cap, campaign_id=campaign)).json()
        jobs = [make.requested(account_id, campaign_id=campaign, api_key_id=new_id("key")) for _ in range(2)]
        others = [make.requested(account_id), make.requested(account_id, campaign_id=new_id("cmp"))]
        await billing.edge.handle(records(*jobs, *others))

        (refused,) = await told(billing, CreditsRefused)
        assert refused.job_id == jobs[1].job_id
        assert campaign in refused.detail
        assert limit["id"] in refused.detail
        assert {alert.campaign_id for alert in await told(billing, SpendAlert)} == {campaign}
        (now,) = await shown(billing, account_id)
        assert (now["campaign_id"], now["used"], now["state"]) == (campaign, cap, "grace")

    async def test_the_narrowest_of_several_limits_refuses(self, billing, make, account_id):
        campaign, key = new_id("cmp"), new_id("key")
        await set_limit(billing, account_id, measure="jobs", cap=3)
        await set_limit(billing, account_id, measure="jobs", cap=2, api_key_id=key)
        await set_limit(billing, account_id, measure="jobs", cap=1, campaign_id=campaign)
        jobs = [make.requested(account_id, campaign_id=campaign, api_key_id=key) for _ in range(2)]
        jobs += [make.requested(account_id, api_key_id=key) for _ in range(2)]
        jobs += [make.requested(account_id) for _ in range(2)]
        await billing.edge.handle(records(*jobs))

        refused = await told(billing, CreditsRefused)
        assert [event.job_id for event in refused] == [jobs[1].job_id, jobs[3].job_id, jobs[5].job_id]
        for refusal, whose in zip(refused, (campaign, key, "the account"), strict=True):
            assert whose in refusal.detail

    async def test_a_raised_cap_lets_work_go_on(self, billing, make, account_id):
        limit = (await set_limit(billing, account_id, cap=4_000)).json()
        await billing.edge.handle(records(make.requested(account_id), make.requested(account_id)))
        async with testing.client(billing, account_id=account_id) as http:
            raised = await http.put(f"/v1/spend-limits/{limit['id']}", json={"cap": 8_000})
        await billing.edge.handle(records(make.requested(account_id)))

        assert raised.json()["state"] == "active"
        assert len(await told(billing, CreditsHeld)) == 2

    async def test_a_new_period_begins_at_nothing(self, billing, make, account_id):
        await set_limit(billing, account_id, cap=4_000)
        await billing.edge.handle(records(make.requested(account_id)))
        async with billing.db.write() as session:
            await session.execute(text("UPDATE spend_limits SET period_start = period_start - interval '40 days'"))
        await billing.edge.handle(records(make.requested(account_id)))

        assert len(await told(billing, CreditsHeld)) == 2
        assert [alert.threshold for alert in await told(billing, SpendAlert)] == [50, 80, 100] * 2

    async def test_a_low_balance_is_told_once_in_a_period(self, billing, make, account_id):
        await set_limit(billing, account_id, measure="balance", cap=45_000)
        for _ in range(4):
            await billing.edge.handle(records(make.requested(account_id)))

        (low,) = await told(billing, BalanceLow)
        assert (low.threshold, low.available) == (45_000, 42_000)
        assert len(await told(billing, CreditsHeld)) == 4

    async def test_concurrent_jobs_do_not_pass_the_cap(self, billing, make, account_id):
        await set_limit(billing, account_id, measure="jobs", cap=3)
        jobs = [make.requested(account_id) for _ in range(12)]

        await asyncio.gather(*(billing.edge.handle(records(*jobs[start::4])) for start in range(4)))

        assert len(await told(billing, CreditsHeld)) == 3

    async def test_accounts_without_limits_cost_no_statement_more(self, billing, make, account_id):
        await set_limit(billing, new_id("acc"), cap=1)
        statements = []
        event.listen(billing.db.engine.sync_engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
        await billing.edge.handle(records(make.requested(account_id)))

        assert not any("spend_limits" in statement for statement in statements)


class TestRoutes:
    async def test_limits_are_set_changed_and_removed(self, billing, make, account_id, rows_of):
        made = await set_limit(billing, account_id, cap=4_000)
        async with testing.client(billing, account_id=account_id) as http:
            again = await http.post("/v1/spend-limits", json={"measure": "credits", "period": "month", "cap": 1})
            removed = await http.delete(f"/v1/spend-limits/{made.json()['id']}")
            gone = await http.put(f"/v1/spend-limits/{made.json()['id']}", json={"cap": 1})

        assert made.status_code == 201
        assert (again.status_code, again.json()["code"]) == (409, "spend_limit_exists")
        assert removed.status_code == 204
        assert (gone.status_code, gone.json()["code"]) == (404, "spend_limit_not_found")
        assert [row["guarded"] for row in await rows_of("wallets")] == [False]

    async def test_anothers_limit_is_not_found(self, billing, account_id):
        made = (await set_limit(billing, account_id, cap=4_000)).json()
        async with testing.client(billing, account_id=new_id("acc")) as http:
            assert (await http.put(f"/v1/spend-limits/{made['id']}", json={"cap": 1})).status_code == 404
            assert (await http.delete(f"/v1/spend-limits/{made['id']}")).status_code == 404

        assert [limit["cap"] for limit in await shown(billing, account_id)] == [4_000]

    @pytest.mark.parametrize(
        "wanted",
        [
            {"cap": -1},
            {"cap": 10**20},
            {"cap": 1.5},
            {"cap": True},
            {"cap": "5"},
            {"cap": 1, "measure": "fun"},
            {"cap": 1, "period": "hour"},
        ],
    )
    async def test_absurd_limits_are_told(self, billing, account_id, wanted):
        answer = await set_limit(billing, account_id, **wanted)

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")

    @pytest.mark.parametrize(
        "scope",
        [
            {"measure": "balance", "api_key_id": new_id("key")},
            {"measure": "balance", "campaign_id": new_id("cmp")},
            {"measure": "jobs", "api_key_id": new_id("key"), "campaign_id": new_id("cmp")},
            {"measure": "jobs", "campaign_id": "summer"},
        ],
    )
    async def test_a_limit_has_one_scope_and_a_balance_has_none(self, billing, account_id, scope):
        answer = await set_limit(billing, account_id, cap=1, **scope)

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")

    async def test_account_key_and_campaign_each_have_limits_of_their_own(self, billing, account_id):
        scopes = [{}, {"api_key_id": new_id("key")}, {"campaign_id": new_id("cmp")}]
        made = [await set_limit(billing, account_id, cap=1, **scope) for scope in scopes]
        again = [await set_limit(billing, account_id, cap=1, **scope) for scope in scopes]

        assert [answer.status_code for answer in made] == [201] * 3
        assert [answer.json()["code"] for answer in again] == ["spend_limit_exists"] * 3
