"""Grants that expire: what is left of them is booked, and what is held just then stays good for its job."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from billing.clawbacks import claw_back
from billing.grants import grant_plan_period
from kit.testing import emitted, eventually, records
from shared.events import CreditsExpired, CreditsSettled
from shared.ids import new_id


async def give_plan(service, account_id, amount, *, expires_in=timedelta(days=1), key="invoice:in_1"):
    async with service.db.write() as session:
        end = datetime.now(UTC) + expires_in
        return await grant_plan_period(
            session, account_id=account_id, key=key, amount=amount, plan="basic", period_end=end, bonus=0
        )


async def let_expire(service):
    """Move every expiry to a second ago."""
    async with service.db.write() as session:
        await session.execute(text("UPDATE grants SET expires_at = now() - interval '1 s' WHERE expires_at > now()"))
        await session.execute(text("UPDATE grant_expiries SET due_at = now() - interval '1 s'"))


async def swept(service, rows_of):
    """Run the workers until every expiry that is due is booked."""
    service.roles = frozenset({"worker"})
    async with service.running():
        await eventually(lambda: _none_due(rows_of))


async def swept_one(service, rows_of):
    """Run the worker until one expiry is booked."""
    (worker,) = [worker for worker in service.workers if worker.name == "grant_expiries"]
    task = asyncio.create_task(worker.run())
    await eventually(lambda: _one_left(rows_of))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await worker.drain(5)


async def _waits(service):
    """Whether somebody in this database waits for a lock."""
    async with service.db.read() as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return await session.scalar(text(query))


async def _none_due(rows_of):
    return not await rows_of("grant_expiries")


class TestBreakage:
    async def test_what_is_left_of_an_expired_grant_is_booked_and_told(self, billing, account_id, rows_of, wallet_of):
        await give_plan(billing, account_id, 20_000)
        await let_expire(billing)
        await swept(billing, rows_of)

        expired = (await emitted(billing.db))[-1]
        assert isinstance(expired, CreditsExpired)
        assert (expired.amount, expired.available, expired.wallet_version) == (20_000, 0, 2)
        assert await wallet_of(account_id) == (0, 0)
        (grant,) = await rows_of("grants")
        assert (grant["remaining"], grant["expired"]) == (0, 20_000)
        booked = {row["account"]: row["amount"] for row in await rows_of("entries") if row["amount"] > 0}
        assert booked == {"customer.available": 20_000, "platform.expired": 20_000}

    async def test_a_grant_that_was_spent_expires_without_a_word(self, billing, make, account_id, rows_of):
        await give_plan(billing, account_id, 4_000)
        job = make.requested(account_id)
        await billing.edge.handle(records(job, make.succeeded(job)))
        await let_expire(billing)
        await swept(billing, rows_of)

        assert not any(isinstance(event, CreditsExpired) for event in await emitted(billing.db))
        assert "expire" not in {row["kind"] for row in await rows_of("transactions")}

    async def test_a_grant_within_its_time_is_left_alone(self, billing, account_id, rows_of, wallet_of):
        await give_plan(billing, account_id, 4_000)
        await let_expire(billing)
        await give_plan(billing, account_id, 7_000, key="invoice:in_2")
        billing.roles = frozenset({"worker"})
        async with billing.running():
            await eventually(lambda: _one_left(rows_of))

        assert await wallet_of(account_id) == (7_000, 0)


async def _one_left(rows_of):
    return len(await rows_of("grant_expiries")) == 1


class TestHeldWhileExpiring:
    async def test_held_credits_stay_good_for_their_job(self, billing, make, account_id, rows_of, wallet_of):
        await give_plan(billing, account_id, 8_000)
        job = make.requested(account_id, input={"n": 2})
        await billing.edge.handle(records(job))
        await let_expire(billing)
        await swept(billing, rows_of)
        await billing.edge.handle(records(make.succeeded(job)))

        settled = (await emitted(billing.db))[-1]
        assert (settled.captured, settled.released, settled.expired) == (8_000, 0, 0)
        assert await wallet_of(account_id) == (0, 0)

    async def test_what_the_job_leaves_is_booked_as_expired_by_the_settlement(
        self, billing, make, account_id, rows_of, wallet_of
    ):
        await give_plan(billing, account_id, 8_000)
        job = make.requested(account_id, input={"n": 2})
        await billing.edge.handle(records(job))
        await let_expire(billing)
        await billing.edge.handle(records(make.succeeded(job, make.delivered(0, 4_000))))

        settled = (await emitted(billing.db))[-1]
        assert isinstance(settled, CreditsSettled)
        assert (settled.captured, settled.released, settled.expired, settled.available) == (4_000, 4_000, 4_000, 0)
        assert ("platform.expired", 4_000) in [(line.account, line.amount) for line in settled.entries]
        (grant,) = await rows_of("grants")
        assert (grant["remaining"], grant["expired"]) == (0, 4_000)

    @pytest.mark.parametrize("refunded_first", [True, False])
    async def test_a_refund_before_they_lapse_ends_like_one_after(
        self, billing, make, account_id, wallet_of, refunded_first
    ):
        await give_plan(billing, account_id, 8_000)
        job = make.requested(account_id, input={"n": 2})
        await billing.edge.handle(records(job))
        await let_expire(billing)
        refund = {"key": "refund:re_1", "grant_key": "invoice:in_1", "amount": 8_000, "reason": "refunded"}

        async def take_back():
            async with billing.db.write() as session:
                await claw_back(session, account_id=account_id, **refund)

        if refunded_first:
            await take_back()
        await billing.edge.handle(records(make.succeeded(job, make.delivered(0, 4_000))))
        if not refunded_first:
            await take_back()

        assert await wallet_of(account_id) == (-4_000, 0)  # for the picture that was delivered

    async def test_an_expiry_that_is_booked_while_the_settlement_waits_for_another_wallet_is_seen(
        self, billing, make, rows_of
    ):
        """Wallets of a batch are locked one after the other; the clock of its transaction stands meanwhile."""
        busy, expiring = sorted(new_id("acc") for _ in range(2))
        for account_id in (busy, expiring):
            await give_plan(billing, account_id, 8_000, key=f"invoice:{account_id}")
        jobs = [make.requested(account_id, input={"n": 2}) for account_id in (busy, expiring)]
        await billing.edge.handle(records(*jobs))
        ended = records(*(make.succeeded(job, make.delivered(0, 4_000)) for job in jobs))
        async with billing.db.write() as session:
            await session.execute(text("SELECT FROM wallets WHERE account_id = :id FOR UPDATE"), {"id": busy})
            settling = asyncio.create_task(billing.edge.handle(ended))
            await eventually(lambda: _waits(billing))
            async with billing.db.write() as other:
                now = "clock_timestamp()"
                lapse = f"UPDATE grants SET expires_at = {now} WHERE account_id = :id"
                await other.execute(text(lapse), {"id": expiring})
                due = f"UPDATE grant_expiries SET due_at = {now} WHERE account_id = :id"
                await other.execute(text(due), {"id": expiring})
            await swept_one(billing, rows_of)
        await settling

        (grant,) = await rows_of("grants", account_id=expiring)
        assert (grant["remaining"], grant["expired"]) == (0, 4_000)

    async def test_expired_credits_pay_first(self, billing, make, account_id, rows_of, wallet_of):
        """The hold took the bonus first, but the plan's credits would be lost and the bonus is not."""
        await billing.edge.handle(records(make.registered(account_id)))
        await give_plan(billing, account_id, 46_000)
        job = make.requested(account_id, input={"n": 4, "quality": "hd", "size": "1792x1024"})
        wide = make.requested(account_id, input={"n": 4, "quality": "hd", "size": "1792x1024"})
        await billing.edge.handle(records(job, wide))
        await let_expire(billing)
        await billing.edge.handle(records(make.succeeded(wide, make.delivered(0, 46_000))))

        settled = (await emitted(billing.db))[-1]
        assert (settled.captured, settled.released, settled.expired) == (46_000, 2_000, 0)
        assert await wallet_of(account_id) == (2_000, 48_000)
