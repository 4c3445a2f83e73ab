"""Many who want to buy at once: what they leave for others, and for what the service does by itself."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from billing.payments import stripe_api
from kit import testing
from kit.testing import eventually
from shared.ids import new_id

PACK = {"pack": "pack_500"}
WAITING = """
    SELECT count(*) FROM pg_locks
    WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def post(billing, account_id, path="checkout-sessions", body=PACK):
    async with testing.client(billing, account_id=account_id) as http:
        return await http.post(f"/v1/{path}", json=body)


@asynccontextmanager
async def working_on(*requests):
    """Requests that are made while the block runs."""
    tasks = [asyncio.create_task(request) for request in requests]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def locked(billing):
    """A table that stands still while a block runs; it can tell how many wait for it."""

    @asynccontextmanager
    async def lock(table):
        connection = await billing.db.connect()
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")

                async def waiting():
                    return await connection.fetchval(WAITING)

                yield waiting
        finally:
            await connection.close()

    return lock


class TestConnections:
    @pytest.mark.parametrize(
        ("path", "body", "table"),
        [
            ("checkout-sessions", PACK, "checkouts"),
            ("checkout-sessions", PACK, "customers"),
            ("portal-sessions", {}, "customers"),
        ],
    )
    async def test_some_are_left_however_many_want_to_buy(self, billing, locked, path, body, table):
        accounts = [new_id("acc") for _ in range(25)]
        async with locked(table) as waiting, working_on(*(post(billing, one, path, body) for one in accounts)):

            async def all_there():
                return await waiting() == 15

            await eventually(all_there)
            async with asyncio.timeout(5), billing.db.read() as session:
                assert await session.scalar(text("SELECT 1")) == 1


class TestTurns:
    async def test_an_account_buys_four_at_a_time(self, billing, locked, account_id):
        four = (post(billing, account_id) for _ in range(4))
        async with locked("checkouts") as waiting, working_on(*four) as first:

            async def all_there():
                return await waiting() == 4

            await eventually(all_there)
            refused = await post(billing, account_id)
            portal = await post(billing, account_id, "portal-sessions", {})
            assert not any(task.done() for task in first)

        for answer in (refused, portal):
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_purchases")
            assert int(answer.headers["retry-after"]) > 0
        assert (await post(billing, account_id)).status_code == 201

    async def test_another_account_has_its_own(self, billing, stripe, account_id):
        await stripe.fault("timeout", "POST /v1/customers", times=4)
        async with working_on(*(post(billing, account_id) for _ in range(4))):
            await eventually(stripe.faults_spent)
            assert (await post(billing, account_id)).status_code == 429
            assert (await post(billing, new_id("acc"))).status_code == 201


class TestRoom:
    @pytest.fixture
    def settings(self, settings, monkeypatch):
        monkeypatch.setattr(stripe_api, "CONNECTIONS", 2)
        return settings | {"stripe_timeout": 60}

    async def test_checkouts_that_hang_leave_what_paid_credits_need(
        self, billing, customer, stripe, gateway, wallet_of
    ):
        await stripe.pay(await customer.check_out())
        await stripe.fault("timeout", "POST /v1/customers", times=2)
        async with working_on(*(post(billing, new_id("acc")) for _ in range(3))) as hanging:
            await eventually(stripe.faults_spent)
            await gateway.settle()
            assert not any(task.done() for task in hanging)

        assert await wallet_of(customer.account_id) == (500_000, 0)
