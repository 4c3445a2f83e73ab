"""Statements over sets, against a real PostgreSQL."""

import pytest
from sqlalchemy import insert, select

from kit.service import Service
from kit.sql import lock_rows
from toy.models import counts


@pytest.fixture
async def three(toy: Service) -> Service:
    async with toy.db.write() as session:
        await session.execute(insert(counts).values(count=1), [{"thing": thing} for thing in "cab"])
    return toy


class TestLockRows:
    @pytest.mark.parametrize(("key_share", "left"), [(False, ["c"]), (True, ["a", "b", "c"])])
    async def test_these_rows_are_locked_and_no_others(self, three: Service, key_share: bool, left: list[str]) -> None:
        not_locked = select(counts.c.thing).order_by(counts.c.thing)
        changing = not_locked.with_for_update(skip_locked=True)
        referring = not_locked.with_for_update(skip_locked=True, read=True, key_share=True)

        async with three.db.write() as session, three.db.write() as other:
            await lock_rows(session, counts.c.thing, iter(["b", "gone", "a"]), key_share=key_share)

            assert list(await other.scalars(changing)) == ["c"]
            assert list(await other.scalars(referring)) == left
