"""Billing against a model of a few lines: whatever is granted, held, settled, expired and clawed back, both agree.

The invariants hold after every step.
"""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from billing.app import build
from billing.clawbacks import claw_back, restore
from billing.grants import grant_by_hand, grant_plan_period, grant_purchase
from billing.settings import BillingSettings
from kit import invariants, testing
from kit.testing import eventually, records
from shared.ids import new_id

BONUS = 50_000
ACCOUNTS = st.integers(0, 1)


class Money(RuleBasedStateMachine):
    """Two accounts; the model is what each has available and what each of its jobs holds.

    Available is one number, below zero after a clawback of what was spent. Expiry needs more: how much of each expiring
    grant is unspent is asked of billing, and that all of it, and nothing else, goes is what is checked.
    """

    jobs = Bundle("jobs")
    packs = Bundle("packs")
    reversals = Bundle("reversals")

    def __init__(self, stack, make):
        super().__init__()
        self.make = make
        self.loop = asyncio.Runner()
        self.exits = AsyncExitStack()
        service = testing.service("billing", BillingSettings, build, stack)
        self.billing = self.loop.run(self.exits.enter_async_context(service))
        self.accounts = [new_id("acc"), new_id("acc")]
        self.handle(*(self.make.registered(account_id) for account_id in self.accounts))
        self.clients = [self.loop.run(self.exits.enter_async_context(self.client(acc))) for acc in self.accounts]
        self.available = dict.fromkeys(self.accounts, BONUS)
        self.held = {}
        self.packs_of = {}

    def client(self, account_id):
        return testing.client(self.billing, account_id=account_id)

    def handle(self, *events):
        self.loop.run(self.billing.edge.handle(records(*events)))

    @rule(account=ACCOUNTS, amount=st.integers(1, 30_000))
    def grant(self, account, amount):
        account_id = self.accounts[account]
        self.book(grant_by_hand, account_id=account_id, amount=amount, reason="gift", key=new_id("op"))
        self.available[self.accounts[account]] += amount

    @rule(target=packs, account=ACCOUNTS, amount=st.integers(1, 30_000), twice=st.booleans())
    def buy(self, account, amount, twice):
        account_id, key = self.accounts[account], new_id("cs")
        pack = {"account_id": account_id, "key": key, "amount": amount, "reason": "pack", "bonus": BONUS}
        for _ in range(1 + twice):
            self.book(grant_purchase, **pack)
        self.available[account_id] += amount
        self.packs_of[key] = (amount, {})
        return account_id, key

    @rule(target=reversals, pack=packs)
    def reverse(self, pack):
        """A refund or dispute that asks for nothing yet."""
        return *pack, new_id("re")

    @rule(reversal=reversals, amount=st.integers(1, 30_000), twice=st.booleans())
    def refund(self, reversal, amount, twice):
        for _ in range(1 + twice):
            self.follow(reversal, amount, claw_back, amount=amount, reason="refund")

    @rule(reversal=reversals, twice=st.booleans())
    def restore(self, reversal, twice):
        for _ in range(1 + twice):
            self.follow(reversal, 0, restore)

    def follow(self, reversal, asked, what, **arguments):
        """What is taken of a pack is what all its refunds and disputes ask for, or all of it."""
        account_id, grant_key, key = reversal
        self.book(what, account_id=account_id, grant_key=grant_key, key=key, **arguments)
        amount, asks = self.packs_of[grant_key]
        taken = min(amount, sum(asks.values()))
        asks[key] = asked
        self.available[account_id] -= min(amount, sum(asks.values())) - taken

    @rule(account=ACCOUNTS, amount=st.integers(1, 30_000))
    def pay_period(self, account, amount):
        account_id = self.accounts[account]
        period = {"plan": "basic", "period_end": datetime.now(UTC) + timedelta(days=30), "bonus": BONUS}
        self.book(grant_plan_period, account_id=account_id, key=new_id("in"), amount=amount, **period)
        self.available[account_id] += amount

    @rule()
    def period_ends(self):
        """Every plan grant expires now, some of it perhaps held by jobs."""

        async def expire():
            async with self.billing.db.write() as session:
                query = "SELECT account_id, sum(remaining) FROM grants WHERE expires_at > now() GROUP BY account_id"
                unspent = (await session.execute(text(query))).all()
                await session.execute(text("UPDATE grants SET expires_at = now() WHERE expires_at > now()"))
                await session.execute(text("UPDATE grant_expiries SET due_at = now()"))
            return unspent

        for account_id, amount in self.loop.run(expire()):
            self.available[account_id] -= amount

    @rule()
    def sweep(self):
        self.loop.run(self.swept())

    async def swept(self):
        """Run the expiry worker until nothing is due; what is shown does not change by it."""
        worker = next(worker for worker in self.billing.workers if worker.name == "grant_expiries")
        task = asyncio.create_task(worker.run())
        await eventually(self.nothing_is_due)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await worker.drain(5)

    async def nothing_is_due(self):
        async with self.billing.db.read() as session:
            query = "SELECT count(*) FROM grant_expiries WHERE due_at <= now()"
            return await session.scalar(text(query)) == 0

    def book(self, what, **arguments):
        async def run():
            async with self.billing.db.write() as session:
                await what(session, **arguments)

        self.loop.run(run())

    @rule(target=jobs, account=ACCOUNTS, n=st.integers(1, 4), quality=st.sampled_from(["standard", "hd"]))
    def request(self, account, n, quality):
        job = self.make.requested(self.accounts[account], input={"n": n, "quality": quality})
        self.handle(job)
        affordable = 0 <= job.price <= self.available[job.account_id]
        self.held[job.job_id] = (job.account_id, job.price if affordable else 0)
        self.available[job.account_id] -= self.held[job.job_id][1]
        return job

    @rule(job=consumes(jobs), share=st.integers(0, 4), excess=st.sampled_from([0, 1_500]))
    def end(self, job, share, excess):
        delivered = [self.make.delivered(item, price + excess) for item, price in enumerate(job.item_prices[:share])]
        lost = [self.make.failed(item, "outcome_unknown", loss=700) for item in range(share, job.items)]
        account_id, held = self.held.pop(job.job_id)
        if not held:
            delivered, lost = [], []
        self.handle(self.make.succeeded(job, *delivered, *lost) if delivered else self.make.job_failed(job, *lost))
        captured = min(held, sum(item.price for item in delivered))
        debt = max(0, -self.available[account_id])
        self.available[account_id] += held - captured - self.expired_of(job, held - captured, debt)

    def expired_of(self, job, released, debt):
        """What the settlement kept because its grant had expired: of the released, beyond what repaid a debt."""

        async def read():
            async with self.billing.db.read() as session:
                query = (
                    "SELECT expired, coalesce((SELECT sum((part ->> 1)::bigint)"
                    " FROM jsonb_array_elements(funding) part JOIN grants g ON g.id = part ->> 0"
                    " WHERE g.expires_at <= now()), 0) FROM holds WHERE job_id = :job"
                )
                return (await session.execute(text(query), {"job": job.job_id})).one()

        if not released:
            return 0
        expired, of_expired_grants = self.loop.run(read())
        lapsed = max(0, int(of_expired_grants) - (job.price - released))  # what has expired pays first
        assert expired == max(0, lapsed - max(0, debt - (released - lapsed)))
        return expired

    @rule(job=jobs)
    def request_again(self, job):
        self.handle(self.make.requested(job.account_id, job_id=job.job_id))

    @invariant()
    def agrees_with_the_model(self):
        self.loop.run(self.check())

    async def check(self):
        held = dict.fromkeys(self.accounts, 0)
        for account_id, amount in self.held.values():
            held[account_id] += amount
        for account_id, http in zip(self.accounts, self.clients, strict=True):
            shown = (await http.get("/v1/credits")).json()
            assert (shown["available"], shown["held"]) == (self.available[account_id], held[account_id])
        assert await invariants.check(self.billing.db, self.billing.all_invariants) == []

    def teardown(self):
        self.loop.run(self.exits.aclose())
        self.loop.close()


class TestModel:
    def test_billing_agrees_with_the_model_after_every_step(self, stack, make):
        run_state_machine_as_test(
            lambda: Money(stack, make), settings=settings(max_examples=12, stateful_step_count=20, deadline=None)
        )
