"""The tables that migrations make are those that the code knows."""

from kit import migrations
from kit.service import Service


class TestSchema:
    async def test_models_and_migrations_agree(self, generation: Service) -> None:
        assert await migrations.drift(generation.db, generation.metadata) == []
