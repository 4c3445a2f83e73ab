"""Real servers for the test run: started once by the process that the user started, shared by all its workers."""

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

# Imported here, or pytest would take the directory `twins/` for the package when it collects `twins/tests`.
import twins  # noqa: F401
from devstack.datadir import DataDir
from devstack.infra import Infra
from kit.testing import Stack

# A busy machine is no failure of an example.
hypothesis.settings.register_profile("atelier", deadline=None)
hypothesis.settings.load_profile("atelier")

_INFRA = pytest.StashKey[Infra]()

LONGEST_ID = 60
PREFIX = "atelier-test-"
ROOM_BYTES = 2**30  # a run takes a sixth of it

# The proofs under failure are the slowest, those of Kubernetes need a tool: the first to be skipped unnoticed.
MUST_PASS = {
    "tests/crash/test_three_brokers.py": 8,
    "tests/crash/test_random_kills.py": 1,
    "tests/crash/test_restore.py": 1,
    "tests/crash/test_away.py": 5,
    "tests/deploy/test_k8s.py": 55,
    "tests/deploy/test_k8s_network.py": 18,
}


def pytest_make_parametrize_id(val: object) -> str | None:
    """A body of 70,000 bytes is named by its beginning and its length."""
    if isinstance(val, str | bytes) and len(val) > LONGEST_ID:
        return f"{val[:20]!r} of {len(val)}"
    return None


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores, because tests that kill servers wait a lot."""
    return (os.cpu_count() or 1) + 1


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run of the whole suite say that it is one."""
    parser.addoption("--whole", action="store_true", help="fail when fewer proofs pass than there are")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a whole run that is short of its proofs."""
    if hasattr(session.config, "workerinput") or not session.config.option.whole:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None
    passed = Counter(report.nodeid.partition("::")[0] for report in reporter.stats.get("passed", ()))
    short = {file: number for file, number in MUST_PASS.items() if passed[file] < number}
    for file, number in short.items():
        reporter.write_line(f"{file}: {passed[file]} tests passed, and {number} must", red=True)
    if short and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, unless this is a worker or only pure tests are wanted."""
    if hasattr(config, "workerinput") or config.option.collectonly or "not connected" in config.option.markexpr:
        return
    infra = Infra(_data_dir())
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


def _data_dir() -> Path:
    """In memory if there is room, because each test of a service copies a database of 300 files; else on disk.

    It is locked until the end of this process.
    """
    memory, disk = Path("/dev/shm"), Path(tempfile.gettempdir())  # noqa: S108 - a directory of its own is made there
    for lock in (*memory.glob(f"{PREFIX}*/run.lock"), *disk.glob(f"{PREFIX}*/run.lock")):
        if os.access(lock, os.W_OK) and DataDir(lock.parent).running() is None:
            shutil.rmtree(lock.parent, ignore_errors=True)  # a run that was killed left it
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= ROOM_BYTES
    data = DataDir(Path(tempfile.mkdtemp(prefix=PREFIX, dir=memory if roomy else disk)))
    data.acquire()
    return data.path


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers; nobody wants their data back."""
    if infra := config.stash.get(_INFRA, None):
        infra.kill()
        shutil.rmtree(infra.data_dir, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses the servers is a connected one."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker("connected")


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The servers of this test run."""
    return Stack.from_environment()
