"""A toy service on a fresh database."""

from collections.abc import AsyncIterator

import pytest
import structlog

from kit import testing
from kit.service import Service
from toy.app import ToySettings, build
from toy.reading import make_topics


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> None:
    """Without this structlog prints each traceback with all locals, which takes it a second."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.LogfmtRenderer()])


@pytest.fixture
async def toy(stack: testing.Stack) -> AsyncIterator[Service]:
    async with testing.service("toy", ToySettings, build, stack) as service:
        yield service


@pytest.fixture
async def toy_on_kafka(toy: Service) -> Service:
    """The toy service whose topics exist."""
    await make_topics(toy)
    return toy
