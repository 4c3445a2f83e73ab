"""Real servers for the test run: started once by the process that the user started, shared by all its workers."""

import tempfile
from pathlib import Path

import hypothesis
import pytest

# Imported here, or pytest would take the directory `twins/` for the package when it collects `twins/tests`.
import twins  # noqa: F401
from devstack.infra import Infra
from kit.testing import Stack

# A busy machine is no failure of an example.
hypothesis.settings.register_profile("atelier", deadline=None)
hypothesis.settings.load_profile("atelier")

_INFRA = pytest.StashKey[Infra]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, unless this is a worker or only pure tests are wanted."""
    if hasattr(config, "workerinput") or config.option.collectonly or config.option.markexpr == "not connected":
        return
    infra = Infra(Path(tempfile.mkdtemp(prefix="atelier-test-")))
    infra.start()
    config.stash[_INFRA] = infra
    Stack(
        postgres_url=infra.postgres.admin_dsn,
        kafka_bootstrap=infra.kafka.bootstrap,
        redis_url=infra.valkey.url,
        s3_url=infra.s3.url,
        s3_access_key=infra.s3.access_key,
        s3_secret_key=infra.s3.secret_key,
    ).to_environment()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers; nobody wants their data back."""
    if infra := config.stash.get(_INFRA, None):
        infra.kill()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses the servers is a connected one."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker("connected")


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The servers of this test run."""
    return Stack.from_environment()
