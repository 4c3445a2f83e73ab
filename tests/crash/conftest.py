"""Proofs under failure: brokers lost, processes killed, a database restored."""

from pathlib import Path

import pytest
import structlog


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> None:
    """Without this structlog prints each traceback with all locals, which takes it a second."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.LogfmtRenderer()])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs all of these, one after the other: each has many servers of its own."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("crash"))
            item.add_marker("connected")
            item.add_marker("slow")
