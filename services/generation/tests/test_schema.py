"""The tables that migrations make are those that the code knows, and keep its rules."""

import pytest
from sqlalchemy import func, insert
from sqlalchemy.exc import DBAPIError

from generation.models import attempts
from kit import migrations
from kit.service import Service


class TestSchema:
    async def test_models_and_migrations_agree(self, generation: Service) -> None:
        assert await migrations.drift(generation.db, generation.metadata) == []

    async def test_an_attempt_has_no_outcome_that_nobody_knows(self, generation: Service) -> None:
        lost = insert(attempts).values(step_id="stp_1", number=1, model="m", ended_at=func.now(), outcome="lost")

        with pytest.raises(DBAPIError, match="attempts_outcome"):
            async with generation.db.write() as session:
                await session.execute(lost)
