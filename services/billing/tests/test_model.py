"""Billing against a model of a few lines: whatever is granted, held and settled, both agree and the invariants hold."""

import asyncio
from contextlib import AsyncExitStack

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from billing.app import build
from billing.grants import adjust
from billing.settings import BillingSettings
from kit import invariants, testing
from kit.testing import records
from shared.ids import new_id

BONUS = 50_000
ACCOUNTS = st.integers(0, 1)


class Money(RuleBasedStateMachine):
    """Two accounts; the model is what each has available and what each of its jobs holds."""

    jobs = Bundle("jobs")

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

    def client(self, account_id):
        return testing.client(self.billing, account_id=account_id)

    def handle(self, *events):
        self.loop.run(self.billing.edge.handle(records(*events)))

    @rule(account=ACCOUNTS, amount=st.integers(1, 30_000))
    def grant(self, account, amount):
        async def give():
            async with self.billing.db.write() as session:
                account_id = self.accounts[account]
                await adjust(session, account_id=account_id, amount=amount, reason="gift", key=new_id("op"))

        self.loop.run(give())
        self.available[self.accounts[account]] += amount

    @rule(target=jobs, account=ACCOUNTS, n=st.integers(1, 4), quality=st.sampled_from(["standard", "hd"]))
    def request(self, account, n, quality):
        job = self.make.requested(self.accounts[account], input={"n": n, "quality": quality})
        self.handle(job)
        affordable = job.price <= self.available[job.account_id]
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
        self.available[account_id] += held - min(held, sum(item.price for item in delivered))

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
