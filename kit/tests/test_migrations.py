"""Migrations against a real PostgreSQL: models and database agree, and two at once are as good as one."""

import asyncio
import os
import shutil
import sys
import uuid
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, Table, Text, text

from kit import database, migrations, tables
from kit.cli import migrations_folder
from kit.database import Database
from kit.testing import Stack
from toy import app
from toy.models import metadata

FOLDER = migrations_folder(app.__file__)
FIRST, *_ = REVISIONS = ["2026_11_21_toy", "2026_11_28_letters_by_offset"]


@pytest.fixture
async def url(stack: Stack) -> AsyncIterator[str]:
    """A database with nothing in it."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    admin = await stack.connect()
    await admin.execute(f'CREATE DATABASE "{name}"')
    yield stack.database_url(name)
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    database = Database(url, name="toy")
    yield database
    await database.close()


class TestUpgrade:
    async def test_an_empty_database_becomes_what_the_models_say(self, db: Database) -> None:
        assert await migrations.drift(db, metadata) != []

        assert await migrations.upgrade(db, FOLDER) == REVISIONS

        assert await migrations.drift(db, metadata) == []

    async def test_a_second_upgrade_has_nothing_to_do(self, db: Database) -> None:
        await migrations.upgrade(db, FOLDER)
        assert await migrations.upgrade(db, FOLDER) == []

    async def test_two_processes_at_once_apply_each_revision_once(self, url: str, db: Database) -> None:
        program = (
            "import asyncio, sys; from pathlib import Path;"
            "from kit import migrations; from kit.database import Database;"
            "print(asyncio.run(migrations.upgrade(Database(sys.argv[1], name='toy'), Path(sys.argv[2]))))"
        )
        command = (sys.executable, "-W", "ignore", "-c", program, url, str(FOLDER))
        environment = os.environ | {"PYTHONPATH": str(FOLDER.parent)}
        both = [await asyncio.create_subprocess_exec(*command, stdout=PIPE, env=environment) for _ in range(2)]

        printed = [output.decode().strip() for output, _ in await asyncio.gather(*(one.communicate() for one in both))]

        assert sorted(printed) == [str(REVISIONS), "[]"]
        assert await migrations.drift(db, metadata) == []

    async def test_a_process_that_has_migrated_and_lives_on_does_not_hold_up_the_next(
        self, url: str, db: Database
    ) -> None:
        await migrations.upgrade(db, FOLDER)
        other = Database(url, name="toy")

        assert await asyncio.wait_for(migrations.upgrade(other, FOLDER), 2) == []

        await other.close()

    async def test_a_failed_migration_leaves_nothing_and_frees_the_lock(
        self, db: Database, url: str, tmp_path: Path
    ) -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (broken,) = (folder / "versions").glob("*_toy.py")
        broken.write_text(
            broken.read_text().replace("def downgrade", "    op.execute('SELECT 1/0')\n\n\ndef downgrade")
        )

        with pytest.raises(Exception, match="division by zero"):
            await migrations.upgrade(db, folder)

        other = Database(url, name="toy")
        assert await asyncio.wait_for(migrations.upgrade(other, FOLDER), 2) == REVISIONS
        await other.close()

    async def test_a_statement_may_take_longer_than_those_of_a_running_service(
        self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "COMMAND_TIMEOUT_SECONDS", 0.1)
        folder = tmp_path / "migrations"
        shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (slow,) = (folder / "versions").glob("*_toy.py")
        slow.write_text(
            slow.read_text().replace("def downgrade", "    op.execute('SELECT pg_sleep(0.5)')\n\n\ndef downgrade")
        )
        db = Database(url, name="toy")

        assert await migrations.upgrade(db, folder) == REVISIONS

        await db.close()

    async def test_later_transactions_have_the_usual_lock_timeout(self, db: Database) -> None:
        await migrations.upgrade(db, FOLDER)
        async with db.read() as session:
            assert (await session.execute(text("SHOW lock_timeout"))).scalar_one() == "10s"


class TestKernel:
    """The kernel's tables come by steps, so a database made long ago and a new one go the same way."""

    async def test_the_first_version_stays_what_it_was_and_later_steps_follow(
        self, db: Database, tmp_path: Path
    ) -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(FOLDER, folder, ignore=lambda _, names: {name for name in names if "letters" in name})

        assert await migrations.upgrade(db, folder) == [FIRST]
        assert await columns_of_index(db, "dead_letters_key") == ["topic", "key"]

        assert await migrations.upgrade(db, FOLDER) == REVISIONS[1:]
        assert await columns_of_index(db, "dead_letters_key") == ["topic", "key", "offset"]
        assert await migrations.drift(db, metadata) == []

    async def test_a_column_that_the_kernel_gets_later_is_none_of_the_first_version(
        self, db: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        later = MetaData()
        for table in tables.metadata.sorted_tables:
            table.to_metadata(later)
        later.tables["inbox"].append_column(Column("note", Text))
        monkeypatch.setattr(tables, "metadata", later)

        await migrations.upgrade(db, FOLDER)

        assert [difference[0] for difference in await migrations.drift(db, metadata)] == ["add_column"]


async def columns_of_index(db: Database, index: str) -> list[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = CAST(:index AS regclass) ORDER BY attnum"
    async with db.read() as session:
        return list(await session.scalars(text(query), {"index": index}))


class TestDrift:
    async def test_a_change_of_the_models_is_noticed(self, db: Database) -> None:
        await migrations.upgrade(db, FOLDER)
        changed = MetaData()
        for table in metadata.sorted_tables:
            table.to_metadata(changed)
        Table("extra", changed, Column("id", Text, primary_key=True))
        changed.tables["counts"].append_column(Column("note", Text))

        differences = await migrations.drift(db, changed)

        assert sorted(difference[0] for difference in differences) == ["add_column", "add_table"]

    @pytest.mark.parametrize("name", ["counts_below_thousand", "counts_above_nothing"])
    async def test_a_check_constraint_that_only_one_side_has_is_noticed(self, db: Database, name: str) -> None:
        await migrations.upgrade(db, FOLDER)
        async with db.write() as session:
            await session.execute(text("ALTER TABLE counts DROP CONSTRAINT IF EXISTS counts_below_thousand"))
            await session.execute(text(f"ALTER TABLE counts ADD CONSTRAINT {name} CHECK (count < 1000)"))

        differences = await migrations.drift(db, metadata)

        assert {difference[0] for difference in differences} == (
            set() if name == "counts_below_thousand" else {"remove_constraint", "add_constraint"}
        )

    async def test_a_migration_is_written_from_the_difference_and_closes_it(self, db: Database, tmp_path: Path) -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        await migrations.upgrade(db, folder)
        changed = MetaData()
        for table in metadata.sorted_tables:
            table.to_metadata(changed)
        changed.tables["counts"].append_column(Column("note", Text))

        path = await migrations.generate(db, folder, changed, "notes on counts")

        assert path.parent == folder / "versions"
        assert path.name.endswith("_notes_on_counts.py")
        assert len(await migrations.upgrade(db, folder)) == 1
        assert await migrations.drift(db, changed) == []
