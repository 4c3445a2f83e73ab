"""The database itself keeps the ledger append-only and balanced."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from billing.ledger import Book
from kit.testing import records
from shared.events.credits import LedgerLine


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
