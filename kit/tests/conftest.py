"""A toy service on a fresh database."""

from collections.abc import AsyncIterator

import pytest

from kit import testing
from kit.service import Service
from toy.app import ToySettings, build


@pytest.fixture
async def toy(stack: testing.Stack) -> AsyncIterator[Service]:
    async with testing.service("toy", ToySettings, build, stack) as service:
        yield service
