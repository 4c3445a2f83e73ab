"""Replays with the same Idempotency-Key: one effect, one answer, whoever comes at the same moment."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlalchemy import func, select, text, update

from kit import idempotency
from kit.idempotency import Fingerprint
from kit.problems import Problem
from kit.retention import Retention, kernel_rules
from kit.service import Service
from kit.tables import idempotency_keys
from toy.reading import counts


def use_of(body: Any, *, key: str = "key-1", account: str = "acc_1", operation: str = "count") -> Fingerprint:
    use = idempotency.use_of(key, account_id=account, operation=operation, body=body)
    assert use is not None
    return use


async def count(toy: Service, use: Fingerprint, answer: str) -> Any:
    """A request with an effect that must happen once."""
    async with toy.db.write() as session:
        if (stored := await idempotency.claim(session, use)) is not None:
            return stored["answer"]
        await session.execute(
            text("INSERT INTO counts VALUES ('a', 1) ON CONFLICT (thing) DO UPDATE SET count = counts.count + 1")
        )
        await idempotency.store(session, use, {"answer": answer})
        return answer


class Order(BaseModel):
    """A body as it is today."""

    thing: str
    size: int | None = None


class LaterOrder(Order):
    """The same with a new field that may be left out."""

    colour: str | None = None


def test_a_new_field_that_is_left_out_changes_no_use() -> None:
    use = use_of(Order(thing="a"))
    assert use == use_of(LaterOrder(thing="a")) == use_of(Order(thing="a", size=None))
    assert use != use_of(LaterOrder(thing="a", colour="red"))


class TestReplay:
    async def test_fifty_requests_at_once_have_one_effect_and_one_answer(self, toy: Service) -> None:
        use = use_of({"n": 1})

        answers = await asyncio.gather(*(count(toy, use, f"answer {number}") for number in range(50)))

        assert len(set(answers)) == 1
        assert await counts(toy) == {"a": 1}

    async def test_the_same_key_with_another_input_is_a_conflict(self, toy: Service) -> None:
        await count(toy, use_of({"n": 1}), "first")

        with pytest.raises(Problem) as caught:
            await count(toy, use_of({"n": 2}), "second")

        assert (caught.value.status, caught.value.code) == (409, "idempotency_conflict")
        assert await counts(toy) == {"a": 1}

    async def test_a_key_belongs_to_its_account_and_its_operation(self, toy: Service) -> None:
        uses = [
            use_of({}, account="acc_1"),
            use_of({}, account="acc_2"),
            use_of({}, operation="other"),
        ]

        assert [await count(toy, use, f"{number}") for number, use in enumerate(uses)] == ["0", "1", "2"]

    async def test_a_failed_effect_frees_its_key(self, toy: Service) -> None:
        use = use_of({})
        with pytest.raises(RuntimeError, match="failed"):  # noqa: PT012
            async with toy.db.write() as session:
                assert await idempotency.claim(session, use) is None
                raise RuntimeError("failed")

        assert await count(toy, use, "second try") == "second try"

    async def test_an_earlier_use_can_be_looked_up_without_a_claim(self, toy: Service) -> None:
        use = use_of({"n": 1})
        async with toy.db.read() as session:
            assert await idempotency.find(session, use) is None
        await count(toy, use, "first")

        async with toy.db.read() as session:
            assert await idempotency.find(session, use) == {"answer": "first"}
            with pytest.raises(Problem, match="another request"):
                await idempotency.find(session, use_of({"n": 2}))


class TestRetention:
    async def test_keys_older_than_a_week_are_pruned(self, toy: Service) -> None:
        await count(toy, use_of({}, key="old"), "")
        await count(toy, use_of({}, key="new"), "")
        async with toy.db.write() as session:
            old = update(idempotency_keys).where(idempotency_keys.c.key == "old")
            await session.execute(old.values(created_at=func.now() - text("interval '7 days 1 minute'")))

        await Retention(toy.db, kernel_rules(outbox_keep=timedelta())).sweep(datetime.now(UTC))

        async with toy.db.read() as session:
            assert (await session.execute(select(idempotency_keys.c.key))).scalars().all() == ["new"]


class TestKeys:
    @pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "a\x00b"])
    def test_a_key_that_cannot_be_one_is_refused(self, key: str) -> None:
        with pytest.raises(Problem) as caught:
            use_of({}, key=key)
        assert (caught.value.status, caught.value.code) == (422, "invalid_idempotency_key")

    def test_a_request_may_come_without_one(self) -> None:
        assert idempotency.use_of(None, account_id="acc_1", operation="count", body={}) is None

    @given(st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
    def test_the_order_of_fields_does_not_matter(self, body: dict[str, Any]) -> None:
        assert use_of(body) == use_of(dict(reversed(body.items())))

    @given(st.binary(), st.binary())
    def test_raw_bodies_are_the_same_use_only_when_their_bytes_are(self, one: bytes, other: bytes) -> None:
        assert (use_of(one) == use_of(other)) == (one == other)
