"""Sessions: who gets one when, and what the database says of a fault."""

import asyncio
import traceback

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from kit.database import Database
from kit.service import Service
from kit.testing import eventually

PERSONAL = "a portrait of ada@example.com"


class TestUrl:
    async def test_its_options_hold_for_connections_of_the_pool_and_beside_it(self, toy: Service) -> None:
        """A server without TLS serves who prefers it, and not who requires it."""
        settings = toy.settings.database_url.get_secret_value()
        prefers = Database(f"{settings}?ssl=prefer&prepared_statement_cache_size=0", name="toy", pool_size=2)
        requires = Database(f"{settings}?ssl=require", name="toy", pool_size=2)

        await prefers.ping()
        beside = await prefers.connect()
        assert await beside.fetchval("SELECT 1") == 1
        await beside.close()
        with pytest.raises(ConnectionError, match="SSL"):
            await requires.ping()
        with pytest.raises(ConnectionError, match="SSL"):
            await requires.connect()
        await prefers.close()
        await requires.close()


class TestErrors:
    @pytest.mark.parametrize(
        ("statement", "told"),
        [
            ("INSERT INTO counts (thing, count) VALUES (:value, 1000)", "counts_below_thousand"),
            ("INSERT INTO counts (thing, count) SELECT :value, 1 FROM generate_series(1, 2)", "counts_pkey"),
            ("SELECT CAST(:value AS integer)", "invalid input for query argument"),
            ("SELECT CAST(CAST(:value AS text) AS integer)", "invalid input syntax for type integer"),
            ("SELECT CAST(CAST(:value AS text) AS jsonb)", "invalid input syntax for type json"),
        ],
    )
    async def test_an_error_says_what_was_wrong_and_holds_no_value(
        self, toy: Service, statement: str, told: str
    ) -> None:
        with pytest.raises(DBAPIError, match=told) as caught:
            async with toy.db.write() as session:
                await session.execute(text(statement), {"value": PERSONAL})

        whole = "".join(traceback.format_exception(caught.value))
        assert "ada@example.com" not in whole
        assert "ada@example.com" not in repr(caught.value)


class TestPlaces:
    async def test_a_flood_of_requests_leaves_connections_to_the_service_and_is_served_in_order(
        self, toy: Service
    ) -> None:
        served: list[int] = []
        leave = asyncio.Event()

        async def visit(number: int) -> None:
            async with toy.db.place():
                served.append(number)
                async with toy.db.read():
                    await leave.wait()

        flood = [asyncio.create_task(visit(number)) for number in range(4 * toy.settings.database_pool_size)]
        await eventually(lambda: len(served) == toy.settings.database_pool_size * 3 // 2)
        async with toy.db.write() as session:
            await session.execute(text("SELECT 1"))
        leave.set()
        await asyncio.gather(*flood)

        assert served == list(range(len(flood)))
