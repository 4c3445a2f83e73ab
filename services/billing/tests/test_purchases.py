"""What payments bring and take: purchases, plan periods, refunds, disputes and corrections, each once."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.clawbacks import adjust, claw_back, restore
from billing.errors import GrantConflictError, UnknownAccountError, UnknownGrantError
from billing.grants import grant_plan_period, grant_purchase
from kit.testing import emitted, records
from shared.events import CreditsClawedBack, CreditsGranted, CreditsRefused

PACK = {"key": "checkout:cs_1", "amount": 100_000, "reason": "pack of 100", "bonus": 0}
REFUND = {"key": "refund:re_1", "grant_key": "checkout:cs_1", "amount": 100_000, "reason": "refunded"}
RETURNED = {"key": "refund:re_1", "grant_key": "checkout:cs_1"}


async def book(service, what, account_id, **changes):
    async with service.db.write() as session:
        return await what(session, account_id=account_id, **changes)


async def spend(service, make, account_id, **wanted):
    job = make.requested(account_id, input=wanted)
    await service.edge.handle(records(job, make.succeeded(job)))


class TestPurchase:
    async def test_a_paid_pack_is_granted_once(self, billing, account_id, wallet_of):
        assert await book(billing, grant_purchase, account_id, **PACK) is True
        assert await book(billing, grant_purchase, account_id, **PACK) is False

        (granted,) = await emitted(billing.db)
        assert isinstance(granted, CreditsGranted)
        assert (granted.source, granted.amount, granted.expires_at) == ("purchase", 100_000, None)
        assert await wallet_of(account_id) == (100_000, 0)

    async def test_the_same_checkout_with_another_amount_is_a_conflict(self, billing, account_id, wallet_of):
        await book(billing, grant_purchase, account_id, **PACK)

        with pytest.raises(GrantConflictError):
            await book(billing, grant_purchase, account_id, **PACK | {"amount": 1})
        assert await wallet_of(account_id) == (100_000, 0)

    async def test_a_purchase_may_be_the_first_that_billing_hears_of_an_account(
        self, billing, make, account_id, wallet_of
    ):
        await book(billing, grant_purchase, account_id, **PACK | {"bonus": 50_000})
        await billing.edge.handle(records(make.registered(account_id)))

        assert await wallet_of(account_id) == (150_000, 0)


class TestPlanPeriod:
    async def test_a_paid_invoice_is_granted_once_and_expires_with_its_period(self, billing, account_id, rows_of):
        end = datetime(2100, 1, 1, tzinfo=UTC)
        period = {"key": "invoice:in_1", "amount": 30_000, "plan": "basic", "period_end": end, "bonus": 0}

        assert await book(billing, grant_plan_period, account_id, **period) is True
        assert await book(billing, grant_plan_period, account_id, **period) is False
        (grant,) = await rows_of("grants")
        (expiry,) = await rows_of("grant_expiries")
        assert (grant["source"], grant["expires_at"], expiry["due_at"]) == ("plan", end, end)

    async def test_a_plan_may_let_credits_roll_over(self, billing, account_id, rows_of):
        end = datetime(2100, 1, 1, tzinfo=UTC)
        month = timedelta(days=31)
        await book(
            billing,
            grant_plan_period,
            account_id,
            key="invoice:in_1",
            amount=30_000,
            plan="pro",
            period_end=end,
            bonus=0,
            rollover=month,
        )

        (grant,) = await rows_of("grants")
        assert grant["expires_at"] == end + month


class TestClawback:
    async def test_unspent_credits_are_taken_back_once(self, billing, account_id, wallet_of, rows_of):
        await book(billing, grant_purchase, account_id, **PACK)

        assert await book(billing, claw_back, account_id, **REFUND) is True
        assert await book(billing, claw_back, account_id, **REFUND) is False
        clawed = (await emitted(billing.db))[-1]
        assert isinstance(clawed, CreditsClawedBack)
        assert (clawed.amount, clawed.debt, clawed.available) == (100_000, 0, 0)
        assert await wallet_of(account_id) == (0, 0)

    async def test_another_amount_of_the_same_dispute_takes_or_gives_the_difference(
        self, billing, account_id, wallet_of
    ):
        await book(billing, grant_purchase, account_id, **PACK)
        for amount in (60_000, 90_000, 10_000):
            assert await book(billing, claw_back, account_id, **REFUND | {"key": "dispute:dp_1", "amount": amount})
            assert await wallet_of(account_id) == (100_000 - amount, 0)

    async def test_a_refund_of_another_purchase_by_the_same_key_is_a_conflict(self, billing, account_id, wallet_of):
        await book(billing, grant_purchase, account_id, **PACK)
        await book(billing, grant_purchase, account_id, **PACK | {"key": "checkout:cs_2"})
        await book(billing, claw_back, account_id, **REFUND)

        with pytest.raises(GrantConflictError):
            await book(billing, claw_back, account_id, **REFUND | {"grant_key": "checkout:cs_2"})
        assert await wallet_of(account_id) == (100_000, 0)

    async def test_a_refund_of_what_was_never_granted_must_wait(self, billing, account_id):
        await book(billing, grant_purchase, account_id, **PACK)

        with pytest.raises(UnknownGrantError):
            await book(billing, claw_back, account_id, **REFUND | {"grant_key": "checkout:cs_2"})

    async def test_spent_credits_leave_a_debt_that_blocks_new_work(self, billing, make, account_id, wallet_of):
        await book(billing, grant_purchase, account_id, **PACK)
        await spend(billing, make, account_id, n=2)
        await book(billing, claw_back, account_id, **REFUND)

        assert await wallet_of(account_id) == (-8_000, 0)
        await billing.edge.handle(records(make.requested(account_id)))
        refused = (await emitted(billing.db))[-1]
        assert isinstance(refused, CreditsRefused)
        assert (refused.code, refused.available) == ("balance_negative", -8_000)

    async def test_other_credits_are_taken_before_a_debt_is_made(self, billing, make, account_id, wallet_of, rows_of):
        await book(billing, grant_purchase, account_id, **PACK)
        await spend(billing, make, account_id, n=2)
        await billing.edge.handle(records(make.registered(account_id)))
        await book(billing, adjust, account_id, key="thanks", amount=20_000, reason="thanks")
        await book(billing, claw_back, account_id, **REFUND)

        assert await wallet_of(account_id) == (12_000, 0)
        remaining = {row["source"]: row["remaining"] for row in await rows_of("grants")}
        assert remaining == {"purchase": 0, "adjustment": 12_000}

    async def test_the_next_grant_repays_the_debt_first(self, billing, make, account_id, wallet_of, rows_of):
        await book(billing, grant_purchase, account_id, **PACK)
        await spend(billing, make, account_id, n=2)
        await book(billing, claw_back, account_id, **REFUND)
        await book(billing, grant_purchase, account_id, **PACK | {"key": "checkout:cs_2", "amount": 5_000})
        assert await wallet_of(account_id) == (-3_000, 0)

        await book(billing, grant_purchase, account_id, **PACK | {"key": "checkout:cs_3", "amount": 10_000})

        assert await wallet_of(account_id) == (7_000, 0)
        assert sorted(row["remaining"] for row in await rows_of("grants")) == [0, 0, 7_000]

    async def test_what_a_running_job_releases_repays_the_debt_first(self, billing, make, account_id, wallet_of):
        await book(billing, grant_purchase, account_id, **PACK)
        job = make.requested(account_id, input={"n": 2})
        await billing.edge.handle(records(job))
        await book(billing, claw_back, account_id, **REFUND)
        assert await wallet_of(account_id) == (-8_000, 8_000)

        await billing.edge.handle(records(make.succeeded(job, make.delivered(0, 4_000))))

        assert await wallet_of(account_id) == (-4_000, 0)

    async def test_a_refund_and_a_dispute_together_take_no_more_than_was_given(self, billing, account_id, wallet_of):
        await book(billing, grant_purchase, account_id, **PACK)
        await book(billing, claw_back, account_id, **REFUND | {"amount": 60_000})
        await book(billing, claw_back, account_id, **REFUND | {"key": "dispute:dp_1"})

        clawed = (await emitted(billing.db))[-1]
        assert clawed.amount == 40_000
        assert await wallet_of(account_id) == (0, 0)


class TestRestitution:
    async def test_gives_back_once_what_the_reversal_took(self, billing, account_id, wallet_of, rows_of):
        await book(billing, grant_purchase, account_id, **PACK)
        await book(billing, claw_back, account_id, **REFUND)

        assert await book(billing, restore, account_id, **RETURNED) is True
        assert await book(billing, restore, account_id, **RETURNED) is False
        assert await wallet_of(account_id) == (100_000, 0)
        (restored,) = await rows_of("grants", source="refund")
        assert (restored["reason"], restored["expires_at"]) == ("restored:refund:re_1", None)

    async def test_of_what_was_never_taken_is_nothing(self, billing, account_id, wallet_of):
        await book(billing, grant_purchase, account_id, **PACK)

        assert await book(billing, restore, account_id, **RETURNED) is False
        assert await wallet_of(account_id) == (100_000, 0)

    async def test_leaves_what_another_reversal_asks_for(self, billing, account_id, wallet_of):
        await book(billing, grant_purchase, account_id, **PACK)
        await book(billing, claw_back, account_id, **REFUND | {"amount": 60_000})
        await book(billing, claw_back, account_id, **REFUND | {"key": "dispute:dp_1", "amount": 70_000})

        await book(billing, restore, account_id, **RETURNED)

        assert await wallet_of(account_id) == (30_000, 0)

    async def test_what_was_given_back_is_taken_again_when_the_money_goes_again(self, billing, account_id, wallet_of):
        await book(billing, grant_purchase, account_id, **PACK)
        for _ in range(2):
            assert await book(billing, claw_back, account_id, **REFUND) is True
            assert await wallet_of(account_id) == (0, 0)
            assert await book(billing, restore, account_id, **RETURNED) is True
            assert await wallet_of(account_id) == (100_000, 0)


class TestAdjustment:
    async def test_a_balance_is_corrected_up_and_down_once_per_key(self, billing, make, account_id, wallet_of):
        await billing.edge.handle(records(make.registered(account_id)))
        down = {"key": "ticket-1", "amount": -1_500, "reason": "paid twice"}

        assert await book(billing, adjust, account_id, **down) is True
        assert await book(billing, adjust, account_id, **down) is False
        assert await wallet_of(account_id) == (48_500, 0)
        with pytest.raises(GrantConflictError):
            await book(billing, adjust, account_id, **down | {"amount": 1_500})
        assert await book(billing, adjust, account_id, key="ticket-2", amount=500, reason="sorry") is True
        assert await wallet_of(account_id) == (49_000, 0)

    async def test_an_account_that_nobody_told_of_is_not_corrected(self, billing, account_id):
        with pytest.raises(UnknownAccountError):
            await book(billing, adjust, account_id, key="k", amount=-1, reason="x")
