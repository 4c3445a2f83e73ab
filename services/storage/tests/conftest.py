"""Storage on a fresh database and bucket, and artifacts as generation leaves them in S3."""

import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from PIL import Image
from sqlalchemy import text

from kit import testing
from kit.blobs import Blobs
from kit.invariants import check
from kit.service import Service
from shared.events import ArtifactProduced
from shared.ids import new_id
from storage.app import build
from storage.settings import StorageSettings


def make_png(width: int = 640, height: int = 480, color: str = "#8a6f4d") -> bytes:
    """A PNG of one color."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), color).save(out, "PNG")
    return out.getvalue()


def announce(data: bytes, **changes) -> ArtifactProduced:
    """The announcement of a picture that S3 may or may not hold."""
    account_id, job_id, asset_id = new_id("acc"), new_id("job"), new_id("ast")
    facts = {
        "job_id": job_id,
        "account_id": account_id,
        "asset_id": asset_id,
        "item": 0,
        "step_id": new_id("stp"),
        "object_key": f"{account_id}/{job_id}/0-{asset_id}.png",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "media_type": "image/png",
        "width": 640,
        "height": 480,
        "recipe": {"model": "gpt-image-2", "prompt_sha256": "0" * 64},
    }
    return ArtifactProduced.model_validate(facts | changes)


@asynccontextmanager
async def run_workers(service: Service) -> AsyncIterator[Service]:
    service.roles = frozenset({"api", "worker"})
    async with service.running():
        yield service


@pytest.fixture
def png() -> Callable[..., bytes]:
    return make_png


@pytest.fixture
def artifact() -> Callable[..., ArtifactProduced]:
    return announce


@pytest.fixture
def working() -> Callable[[Service], AbstractAsyncContextManager[Service]]:
    """The workers of a service run while the block does, without Kafka."""
    return run_workers


@pytest.fixture
def rows(storage: Service) -> Callable[[str], Awaitable[list[dict[str, object]]]]:
    """What a query finds in the database."""

    async def rows(query: str) -> list[dict[str, object]]:
        async with storage.db.read() as session:
            return [dict(row) for row in (await session.execute(text(query))).mappings()]

    return rows


@pytest.fixture
async def storage(stack: testing.Stack) -> AsyncIterator[Service]:
    """Storage; whatever a test does to it, its invariants hold afterwards."""
    async with testing.service("storage", StorageSettings, build, stack) as service:
        yield service
        assert await check(service.db, service.all_invariants) == []


@pytest.fixture
async def blobs(storage: Service) -> AsyncIterator[Blobs]:
    """The bucket of the service under test."""
    blobs = Blobs.from_settings(storage.settings)
    yield blobs
    await blobs.close()


@pytest.fixture
def produce(blobs: Blobs) -> Callable[..., object]:
    """Does what generation does: writes the object, then announces it."""

    async def produce(data: bytes | None = None, **changes) -> ArtifactProduced:
        data = make_png() if data is None else data
        event = announce(data, **changes)
        await blobs.put(event.object_key, data, event.media_type, {"sha256": event.sha256})
        return event

    return produce
