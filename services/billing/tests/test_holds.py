"""A requested job is held or refused, once."""

import asyncio

import pytest
from sqlalchemy import event, select

from billing.grants import open_wallets
from billing.models import grants
from kit import dead_letters
from kit.testing import emitted, records
from shared.events import CreditsGranted, CreditsHeld, CreditsRefused
from shared.ids import new_id


async def types_emitted(service):
    return [type(event).__name__ for event in await emitted(service.db)]


class TestRegistration:
    async def test_an_account_starts_with_fifty_credits(self, billing, make, account_id, wallet_of):
        await billing.edge.handle(records(make.registered(account_id)))

        (granted,) = await emitted(billing.db)
        assert isinstance(granted, CreditsGranted)
        assert (granted.source, granted.reason, granted.amount) == ("bonus", "registration", 50_000)
        assert (granted.available, granted.held, granted.wallet_version) == (50_000, 0, 1)
        assert await wallet_of(account_id) == (50_000, 0)

    async def test_registering_twice_grants_once(self, billing, make, account_id, wallet_of):
        for _ in range(2):
            await billing.edge.handle(records(make.registered(account_id), make.registered(account_id)))

        assert await types_emitted(billing) == ["CreditsGranted"]
        assert await wallet_of(account_id) == (50_000, 0)

    async def test_a_job_may_arrive_before_its_account(self, billing, make, account_id, wallet_of):
        job = make.requested(account_id)
        await billing.edge.handle(records(job))
        await billing.edge.handle(records(make.registered(account_id)))

        granted, held = await emitted(billing.db)
        assert isinstance(granted, CreditsGranted)
        assert isinstance(held, CreditsHeld)
        assert granted.envelope.causation_id == held.envelope.causation_id == job.envelope.id
        assert await wallet_of(account_id) == (46_000, 4_000)


class TestHold:
    async def test_the_price_is_held(self, billing, make, account_id, hold_of, rows_of):
        job = make.requested(account_id, input={"n": 2, "quality": "hd"})
        await billing.edge.handle(records(make.registered(account_id), job))

        held = (await emitted(billing.db))[-1]
        assert isinstance(held, CreditsHeld)
        assert (held.job_id, held.amount) == (job.job_id, 16_000)
        assert (held.available, held.held, held.wallet_version) == (34_000, 16_000, 2)
        assert held.envelope.causation_id == job.envelope.id
        assert held.envelope.correlation_id == job.job_id

        (grant,) = await rows_of("grants")
        hold = await hold_of(job.job_id)
        assert (hold["state"], hold["held"], hold["funding"]) == ("open", 16_000, [[grant["id"], 16_000]])
        assert grant["remaining"] == 34_000

    async def test_a_repeated_request_holds_once(self, billing, make, account_id, wallet_of):
        job = make.requested(account_id)
        again = make.requested(account_id, job_id=job.job_id)
        await billing.edge.handle(records(job, job, again))
        await billing.edge.handle(records(make.requested(account_id, job_id=job.job_id)))

        assert await types_emitted(billing) == ["CreditsGranted", "CreditsHeld"]
        assert await wallet_of(account_id) == (46_000, 4_000)

    async def test_versions_rise_by_one_with_every_change(self, billing, make, account_id):
        await billing.edge.handle(records(*(make.requested(account_id) for _ in range(5))))

        versions = [event.wallet_version for event in await emitted(billing.db)]
        assert versions == [1, 2, 3, 4, 5, 6]

    async def test_many_accounts_share_a_batch(self, billing, make, rows_of):
        jobs = [make.requested(new_id("acc")) for _ in range(40)]
        await billing.edge.handle(records(*jobs))

        wallets = await rows_of("wallets")
        assert {(row["available"], row["held"]) for row in wallets} == {(46_000, 4_000)}
        assert len(wallets) == 40


class TestRefusal:
    async def test_too_few_credits_are_refused_with_the_numbers(self, billing, make, account_id, hold_of, wallet_of):
        affordable = make.requested(account_id, input={"n": 2, "quality": "hd"})
        dear = make.requested(account_id, input={"n": 4, "quality": "hd", "size": "1792x1024"})
        await billing.edge.handle(records(affordable, dear))

        refused = (await emitted(billing.db))[-1]
        assert isinstance(refused, CreditsRefused)
        assert (refused.code, refused.needed, refused.available) == ("insufficient_credits", 48_000, 34_000)
        assert "48000" in refused.detail
        assert (await hold_of(dear.job_id))["state"] == "refused"
        assert await wallet_of(account_id) == (34_000, 16_000)

    async def test_a_later_cheaper_job_of_the_batch_is_still_held(self, billing, make, account_id, wallet_of):
        dear = make.requested(account_id, input={"n": 4, "quality": "hd", "size": "1792x1024"})
        await billing.edge.handle(records(make.requested(account_id), dear, make.requested(account_id)))

        assert await types_emitted(billing) == ["CreditsGranted", "CreditsHeld", "CreditsRefused", "CreditsHeld"]
        assert await wallet_of(account_id) == (42_000, 8_000)

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"price": 1, "item_prices": (1,)}, "price_mismatch"),
            ({"item_prices": (1_000, 3_000)}, "price_mismatch"),
            ({"price_version": "1999-01-01"}, "unknown_price"),
            ({"kind": "hologram"}, "unknown_price"),
        ],
    )
    async def test_a_price_that_billing_does_not_find_is_refused(
        self, billing, make, account_id, wallet_of, changes, code
    ):
        await billing.edge.handle(records(make.requested(account_id, **changes)))

        refused = (await emitted(billing.db))[-1]
        assert isinstance(refused, CreditsRefused)
        assert refused.code == code
        assert await wallet_of(account_id) == (50_000, 0)

    async def test_input_that_is_no_job_is_refused_without_repeating_it(self, billing, make, account_id):
        job = make.requested(account_id).model_copy(update={"input": {"prompt": "x", "secret": "hunter2"}})
        await billing.edge.handle(records(job))

        refused = (await emitted(billing.db))[-1]
        assert refused.code == "unknown_price"
        assert "hunter2" not in refused.model_dump_json()

    async def test_two_accounts_for_one_job_stop_that_message_alone(self, billing, make, account_id, rows_of):
        job = make.requested(account_id)
        stolen = make.requested(new_id("acc"), job_id=job.job_id)
        await billing.edge.handle(records(job))
        await billing.edge.handle(records(stolen, make.requested(account_id)))

        async with billing.db.read() as session:
            (letter,) = await dead_letters.find(session)
        assert "AccountMismatchError" in letter.error
        assert [row["account_id"] for row in await rows_of("holds")] == [account_id] * 2


class TestCost:
    async def test_a_batch_costs_the_same_statements_whatever_its_size(self, billing, make):
        """One job of one account, many jobs of one, and many of many."""
        statements = []
        event.listen(billing.db.engine.sync_engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
        costs = []
        for accounts, jobs in ((1, 1), (1, 50), (50, 50)):
            owners = [new_id("acc") for _ in range(accounts)]
            await billing.edge.handle(records(*(make.registered(owner) for owner in owners)))
            wanted = [make.requested(owners[number % accounts]) for number in range(jobs)]
            for batch in (wanted, [make.succeeded(job) for job in wanted[:10]]):
                statements.clear()
                await billing.edge.handle(records(*batch))
                costs.append(len(statements))

        assert costs == [costs[0], costs[1]] * 3
        assert max(costs) <= 10


class TestConcurrency:
    async def test_one_balance_is_spent_by_a_hundred_tasks_on_several_connections(
        self, billing, make, account_id, wallet_of, rows_of
    ):
        """The wallet has 40 credits and each job needs 4: ten run, whoever is first."""
        connections = set()
        event.listen(billing.db.engine.sync_engine.pool, "checkout", lambda raw, *_: connections.add(id(raw)))
        async with billing.db.write() as session:
            book = await open_wallets(session, {account_id: make.registered(account_id).stamp()}, bonus=40_000)
            await book.write(session)
        jobs = [make.requested(account_id) for _ in range(100)]

        await asyncio.gather(*(billing.edge.handle(records(job)) for job in jobs))

        assert len(connections) > 5
        events = await emitted(billing.db)
        held = [told for told in events if isinstance(told, CreditsHeld)]
        assert len(held) == 10
        assert sum(isinstance(told, CreditsRefused) for told in events) == 90
        assert await wallet_of(account_id) == (0, 40_000)

        by_id = {job.job_id: job for job in jobs}
        done = [make.succeeded(by_id[told.job_id]) for told in held]
        await asyncio.gather(*(billing.edge.handle(records(end)) for end in done))

        assert await wallet_of(account_id) == (0, 0)
        assert {row["remaining"] for row in await rows_of("grants")} == {0}

    async def test_accounts_that_overlap_between_batches_do_not_deadlock(self, billing, make):
        accounts = [new_id("acc") for _ in range(8)]
        batches = [[make.requested(account) for account in (accounts, accounts[::-1])[turn % 2]] for turn in range(8)]

        await asyncio.gather(*(billing.edge.handle(records(*batch)) for batch in batches))

        held = [event for event in await emitted(billing.db) if isinstance(event, CreditsHeld)]
        assert len(held) == 64
        async with billing.db.read() as session:
            remaining = (await session.execute(select(grants.c.remaining))).scalars().all()
        assert remaining == [50_000 - 8 * 4_000] * 8
