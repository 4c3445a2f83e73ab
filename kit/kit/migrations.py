"""Database migrations: one Alembic history per service, run by ``migrate``, never at the start of a deployed service.

Every migration takes locks with a timeout, so that it fails instead of queueing behind a long transaction and blocking
everyone else; once it has them, it may take as long as it needs.
"""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text

from kit import tables
from kit.database import Database

LOCK_TIMEOUT = "5s"
MIGRATION_LOCK = 0x_A7E1_1E4C
# CHECK constraints are compared by name only when asked for.
COMPARISON = {
    "compare_type": True,
    "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
}


async def upgrade(db: Database, folder: Path) -> list[str]:
    """Bring the database to the newest revision; returns the revisions that were applied."""
    async with db.patient() as connection:
        return await connection.run_sync(_upgrade, folder)


async def drift(db: Database, metadata: MetaData) -> list[Any]:
    """Differences between the migrated database and the models; empty when they agree."""
    from alembic.autogenerate import compare_metadata

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={**COMPARISON, "compare_server_default": False})
        return list(compare_metadata(context, _combined(metadata)))

    async with db.engine.connect() as connection:
        return await connection.run_sync(compare)


async def generate(db: Database, folder: Path, metadata: MetaData, message: str) -> Path:
    """Write a new revision from the difference between models and database."""
    config = _config(folder)

    def write(connection: Connection) -> Path:
        from alembic.autogenerate import produce_migrations, render_python_code

        context = MigrationContext.configure(connection, opts={**COMPARISON, "sqlalchemy_module_prefix": "sa."})
        changes = produce_migrations(context, _combined(metadata))
        assert changes.upgrade_ops is not None
        assert changes.downgrade_ops is not None
        upgrades = render_python_code(changes.upgrade_ops, migration_context=context)
        downgrades = render_python_code(changes.downgrade_ops, migration_context=context)
        revision = command.revision(config, message=message)
        assert revision is not None
        assert not isinstance(revision, list)
        path = Path(revision.path)
        source = path.read_text()
        source = source.replace("UPGRADES", upgrades).replace("DOWNGRADES", downgrades)
        path.write_text(source)
        return path

    async with db.engine.connect() as connection:
        return await connection.run_sync(write)


def _combined(metadata: MetaData) -> MetaData:
    combined = MetaData()
    for source in (tables.metadata, metadata):
        for table in source.sorted_tables:
            table.to_metadata(combined)
    return combined


def _config(folder: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("file_template", "%%(year)d-%%(month).2d-%%(day).2d-%%(hour).2d%%(minute).2d_%%(slug)s")
    return config


def _upgrade(connection: Connection, folder: Path) -> list[str]:
    script = ScriptDirectory.from_config(_config(folder))
    applied: list[str] = []

    def steps(revision: Any, _context: Any) -> Any:
        planned = script._upgrade_revs("head", revision)  # noqa: SLF001 - what alembic's own upgrade command calls
        applied.extend(step.revision.revision for step in planned)
        return planned

    with EnvironmentContext(_config(folder), script, fn=steps) as environment:
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()
        environment.configure(connection=connection, target_metadata=None, transaction_per_migration=True)
        with environment.begin_transaction():
            environment.run_migrations()
        connection.commit()
    return applied
