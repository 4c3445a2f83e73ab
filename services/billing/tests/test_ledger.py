"""The database itself keeps the ledger append-only and balanced."""

import asyncio

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from billing.ledger import Book
from kit.testing import eventually, records
from shared.events.credits import LedgerLine
from shared.ids import new_id


async def run(service, statement, **values):
    async with service.db.write() as session:
        await session.execute(text(statement), values)


class TestAppendOnly:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE entries SET amount = amount * 2",
            "DELETE FROM entries",
            "TRUNCATE entries",
            "UPDATE transactions SET kind = 'hold'",
            "DELETE FROM transactions WHERE false",
        ],
    )
    async def test_booked_rows_cannot_be_changed(self, billing, make, account_id, statement):
        await billing.edge.handle(records(make.requested(account_id)))

        with pytest.raises(DBAPIError, match="append-only"):
            await run(billing, statement)

    async def test_entries_that_do_not_sum_to_zero_are_refused(self, billing, make, account_id, rows_of):
        await billing.edge.handle(records(make.registered(account_id)))
        (transaction,) = await rows_of("transactions")
        statement = (
            "INSERT INTO entries (transaction_id, line, account, amount)"
            " VALUES (:id, 7, 'platform.loss', -5), (:id, 8, 'platform.earned', 4)"
        )

        with pytest.raises(DBAPIError, match="do not sum to zero"):
            await run(billing, statement, id=transaction["id"])

    async def test_a_business_key_is_booked_once(self, billing, make, account_id):
        await billing.edge.handle(records(make.registered(account_id)))
        statement = (
            "INSERT INTO transactions (id, key, input_hash, kind, account_id, wallet_version, available, held)"
            " SELECT 'txn_other', key, input_hash, kind, account_id, 99, available, held FROM transactions"
        )

        with pytest.raises(DBAPIError, match="transactions_key"):
            await run(billing, statement)


class TestBook:
    async def test_an_unbalanced_posting_is_refused_before_it_is_written(self, billing, account_id):
        async with billing.db.write() as session:
            book = await Book.open(session, [account_id])

            with pytest.raises(ValueError, match="do not sum to zero"):
                book.post(
                    "hold",
                    key="hold:x",
                    account_id=account_id,
                    lines=[LedgerLine(account="platform.earned", amount=1)],
                    inputs={},
                )

    async def test_wallets_that_exist_are_locked_and_not_made(self, billing, make, account_id):
        await billing.edge.handle(records(make.registered(account_id)))
        statements = []
        event.listen(billing.db.engine.sync_engine, "before_cursor_execute", lambda *call: statements.append(call[2]))

        async with billing.db.write() as session:
            book = await Book.open(session, [account_id])

        assert not book.opened
        assert not any("INSERT" in statement for statement in statements)

    async def test_of_many_who_meet_each_wallet_is_made_by_one(self, billing, rows_of):
        accounts = [new_id("acc") for _ in range(20)]

        async def meet(some):
            async with billing.db.write() as session:
                return (await Book.open(session, some)).opened

        opened = await asyncio.gather(*(meet(accounts[start::3][::-1]) for start in range(3) for _ in range(4)))
        opened += await asyncio.gather(*(meet(accounts) for _ in range(4)))

        assert sorted(account for some in opened for account in some) == sorted(accounts)
        assert len(await rows_of("wallets")) == len(accounts)

    async def test_nothing_is_locked_while_a_wallet_is_being_made_by_another(self, billing, make):
        """Or two of whom each waits for a wallet that the other holds would stand still."""
        known, new = new_id("acc"), new_id("acc")
        await billing.edge.handle(records(make.registered(known)))

        async def open_both():
            async with billing.db.write() as session:
                return (await Book.open(session, [known, new])).wallet(known).version

        async with billing.db.write() as session:
            await Book.open(session, [new])
            other = asyncio.create_task(open_both())
            await eventually(lambda: waiting(billing))
            await run(billing, "SELECT FROM wallets WHERE account_id = :known FOR UPDATE NOWAIT", known=known)

        assert await other == 1


async def waiting(service):
    async with service.db.read() as session:
        return await session.scalar(
            text(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN"
                " (SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
            )
        )
