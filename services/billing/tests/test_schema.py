"""The schema that migrations make is the one that the code knows."""

from kit import migrations


class TestSchema:
    async def test_models_and_migrations_agree(self, billing):
        assert await migrations.drift(billing.db, billing.metadata) == []
