"""The toy service as a process of its own, which can be stopped and killed."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from devstack import ports
from kit.testing import eventually
from toy.app import ToySettings

FOLDER = Path(__file__).resolve().parent.parent


def environment(settings: ToySettings, **overrides: str) -> dict[str, str]:
    """The variables that describe ``settings`` to a process."""
    values = {
        "TOY_ENVIRONMENT": settings.environment,
        "TOY_HTTP_PORT": str(settings.http_port),
        "TOY_DATABASE_URL": settings.database_url.get_secret_value(),
        "TOY_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "TOY_KAFKA_TOPIC_PREFIX": settings.kafka_topic_prefix,
        "TOY_KAFKA_REPLICATION": str(settings.kafka_replication),
        "TOY_LOG_LEVEL": "WARNING",
    }
    outside = {name: value for name, value in os.environ.items() if not name.startswith("TOY_")}
    return outside | {"PYTHONPATH": str(FOLDER)} | values | overrides


@asynccontextmanager
async def toy_process(settings: ToySettings, *arguments: str) -> AsyncIterator[Process]:
    """``python -m toy serve`` until the block ends; it is ready and has its partitions when the block begins."""
    port = ports.reserve()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "toy", "serve", *arguments),
        env=environment(settings, TOY_HTTP_PORT=str(port)),
        stdin=DEVNULL,
    )
    try:
        await eventually(lambda: _works(process, port), timeout=90)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _works(process: Process, port: int) -> bool:
    if process.returncode is not None:
        raise AssertionError(f"the process ended with {process.returncode}")
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        checks = (await http.get("/health")).json()["checks"]
    return all(check["ok"] for name, check in checks.items() if name in {"database", "consumer"})
