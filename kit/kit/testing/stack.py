"""The real servers of a test run, and services on fresh databases in them.

The servers run once per test run; their addresses reach every worker process through one environment variable. Tests
stay apart by database, topic prefix, Redis namespace and bucket.
"""

import json
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import asyncpg
from sqlalchemy.engine import make_url

from kit import migrations
from kit.blobs import Blobs
from kit.database import Database
from kit.service import Service
from kit.settings import RedisSettings, S3Settings, ServiceSettings
from kit.testing.identity import IDENTITY

VARIABLE = "ATELIER_TEST_STACK"


@dataclass(frozen=True, slots=True)
class Stack:
    """Addresses of the servers of a test run, empty where it has none.

    ``postgres_url`` is that of the maintenance database.
    """

    postgres_url: str
    kafka_bootstrap: str
    redis_url: str = ""
    s3_url: str = ""
    s3_access_key: str = ""
    s3_secret_key: str = ""

    def to_environment(self) -> None:
        """Hand the addresses to worker processes."""
        os.environ[VARIABLE] = json.dumps(asdict(self))

    @classmethod
    def from_environment(cls) -> Self:
        """The addresses that the starting process has handed over. Raises LookupError without servers."""
        value = os.environ.get(VARIABLE)
        if value is None:
            raise LookupError("no servers were started for this test run")
        return cls(**json.loads(value))

    def database_url(self, name: str) -> str:
        """The SQLAlchemy URL of a database."""
        url = make_url(self.postgres_url).set(drivername="postgresql+asyncpg", database=name)
        return url.render_as_string(hide_password=False)

    async def connect(self) -> asyncpg.Connection:
        """A connection to the maintenance database."""
        return await asyncpg.connect(
            make_url(self.postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
        )


@asynccontextmanager
async def fresh_database(stack: Stack, name: str, migrate: Callable[[Database], Any]) -> AsyncIterator[str]:
    """The URL of a new database, copied from a template that ``migrate`` makes once per test run."""
    template, copy = f"template_{name}", f"{name}_{uuid.uuid4().hex[:12]}"
    admin = await stack.connect()
    try:
        await _make_template(stack, admin, template, migrate)
        await admin.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{template}"')
    finally:
        await admin.close()
    try:
        yield stack.database_url(copy)
    finally:
        admin = await stack.connect()
        await admin.execute(f'DROP DATABASE "{copy}" WITH (FORCE)')
        await admin.close()


async def _make_template(
    stack: Stack, admin: asyncpg.Connection, template: str, migrate: Callable[[Database], Any]
) -> None:
    """Make the template unless another worker has."""
    await admin.execute("SELECT pg_advisory_lock(hashtext($1))", template)
    try:
        if await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", template):
            return
        unfinished = f"{template}_new"
        await admin.execute(f'DROP DATABASE IF EXISTS "{unfinished}" WITH (FORCE)')
        await admin.execute(f'CREATE DATABASE "{unfinished}"')
        db = Database(stack.database_url(unfinished), name="template")
        try:
            await migrate(db)
        finally:
            await db.close()
        await admin.execute(f'ALTER DATABASE "{unfinished}" RENAME TO "{template}"')
    finally:
        await admin.execute("SELECT pg_advisory_unlock(hashtext($1))", template)


@asynccontextmanager
async def service(
    name: str,
    settings_class: type[ServiceSettings],
    build: Callable[[Any], Service],
    stack: Stack,
    **overrides: Any,
) -> AsyncIterator[Service]:
    """A built service on a fresh, migrated database; its roles do not run until ``async with service.running()``.

    ``overrides`` are settings by field name, for example ``kafka_topic_prefix`` to let services meet.
    """
    run = uuid.uuid4().hex[:12]
    values: dict[str, Any] = {
        "environment": "development",
        "http_port": 1,
        "kafka_bootstrap": stack.kafka_bootstrap,
        "kafka_topic_prefix": f"t{run}.",
        "log_level": "WARNING",
    }
    if "identity_public_key" in settings_class.model_fields:
        values["identity_public_key"] = IDENTITY.public_key
    if issubclass(settings_class, RedisSettings):
        values["redis_url"] = stack.redis_url
    if issubclass(settings_class, S3Settings):
        values |= {
            "s3_url": stack.s3_url,
            "s3_access_key": stack.s3_access_key,
            "s3_secret_key": stack.s3_secret_key,
            "s3_bucket": f"test-{run}",
        }
    values |= overrides
    folder = _migrations_of(build)
    async with fresh_database(stack, name, lambda db: migrations.upgrade(db, folder)) as url:
        settings = settings_class(database_url=url, **values)
        if isinstance(settings, S3Settings):
            blobs = Blobs.from_settings(settings)
            await blobs.ensure_bucket()
            await blobs.close()
        built = build(settings)
        try:
            yield built
        finally:
            await built.db.close()


def _migrations_of(build: Callable[[Any], Service]) -> Path:
    return Path(build.__code__.co_filename).resolve().parent.parent / "migrations"
