"""Proofs under failure: brokers lost, processes killed, a database restored."""

from pathlib import Path

import pytest
import structlog


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> None:
    """Without this structlog prints each traceback with all locals, which takes it a second."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.LogfmtRenderer()])


@pytest.hookimpl(tryfirst=True)  # before groups are told to the scheduler
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two workers run these, one after the other: each has many servers of its own, and ``away`` mostly waits."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("away" if item.path.stem == "test_away" else "crash"))
            item.add_marker("connected")
            item.add_marker("slow")
