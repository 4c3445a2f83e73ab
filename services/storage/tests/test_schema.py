"""The tables that migrations make are those that the code knows."""

from kit import migrations


class TestSchema:
    async def test_models_and_migrations_agree(self, storage) -> None:
        assert await migrations.drift(storage.db, storage.metadata) == []
