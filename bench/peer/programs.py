"""The peer as running programs, on the data servers and the provider that Atelier has."""

import hashlib
import secrets
import sys
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import create_async_engine

from bench.peer.tables import accounts, metadata
from bench.servers import PATH, Bundle, Plain, program
from devstack.infra import Infra
from devstack.ports import reserve
from devstack.services import BUCKET, Program

NAME = "peer"
WORKERS = 4
"""Processes of the worker. On two cores 2 and 8 complete less."""


class Worker(Plain):
    """Celery; it has no port and tells by a file that it is ready."""

    ready_file: Path

    def start(self) -> None:
        self.ready_file.unlink(missing_ok=True)
        super().start()

    def command(self) -> list[str | Path]:
        options = ["--loglevel", "ERROR", "--concurrency", str(WORKERS), "--without-gossip", "--without-mingle"]
        return [sys.executable, "-m", "celery", "-A", "bench.peer.worker", "worker", *options]

    def _serves(self) -> bool:
        return self.ready_file.exists()


class Peer(Bundle):
    """One API process and one worker with its children."""

    def __init__(self, infra: Infra, provider: Program) -> None:
        self.url = infra.postgres.create_database(NAME, NAME)
        data, logs = infra.data_dir, infra.data_dir / "logs"
        self.port = reserve()
        ready_file = data / "peer-ready"
        settings = {
            "PEER_DATABASE_URL": self.url,
            "PEER_SYNC_DATABASE_URL": self.url.replace("+asyncpg", "+psycopg"),
            "PEER_REDIS_URL": infra.valkey.url,
            "PEER_OPENAI_BASE_URL": f"http://127.0.0.1:{provider.port}/openai/v1",
            "PEER_S3_ENDPOINT": infra.s3.url.removeprefix("http://"),
            "PEER_S3_ACCESS_KEY": infra.s3.access_key,
            "PEER_S3_SECRET_KEY": infra.s3.secret_key,
            "PEER_S3_BUCKET": BUCKET,
            "PEER_READY_FILE": str(ready_file),
        }
        serving = ["bench.peer.api:app", "--port", str(self.port), "--log-level", "warning"]
        self.api = program("uvicorn", data, logs, self.port, *serving, **settings)
        self.worker = Worker("celery", data / "run", logs, reserve(), arguments=[], settings=PATH | settings)
        self.worker.ready_file = ready_file
        self.programs = self.measured = [self.api, self.worker]

    async def prepare(self, count: int) -> list[str]:
        """Make the tables and accounts that can pay anything; their API keys."""
        keys = [secrets.token_urlsafe(32) for _ in range(count)]
        hashes = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
        rows = [{"id": f"acc_{number}", "key_hash": value, "available": 10**15} for number, value in enumerate(hashes)]
        engine = create_async_engine(self.url)
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
            await connection.execute(insert(accounts), rows)
        await engine.dispose()
        return keys

    def pause(self) -> None:
        """Everything but the API stands still."""
        self.worker.pause()

    def resume(self) -> None:
        self.worker.resume()
