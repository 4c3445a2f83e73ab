"""Kafka's jars: only what the lock says is ever used, and one line tells when that cannot be had."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from devstack import kafka
from devstack.errors import StackError
from devstack.jars import Jar, Lock, ensure_jars, jar_directory, read_lock
from devstack.kafka import Broker, Kafka, Options
from devstack.ports import HOST, reserve

CONTENT = b"the bytes of a jar"


@pytest.fixture(autouse=True)
def _own_cache(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(directory / "cache"))


@pytest.fixture
def repository(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository on this machine with one jar."""
    root = directory / "maven"
    (root / "org/example/one/1.0").mkdir(parents=True)
    (root / "org/example/one/1.0/one-1.0.jar").write_bytes(CONTENT)
    server = ThreadingHTTPServer((HOST, 0), partial(QuietHandler, directory=str(root)))
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    monkeypatch.setattr("jgo.constants.MAVEN_CENTRAL_URL", f"http://{HOST}:{server.server_port}")
    yield root
    server.shutdown()
    serving.join()
    server.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: the test's output is not a place for access logs."""


def lock_of(content: bytes = CONTENT) -> Lock:
    digest = hashlib.sha256(content).hexdigest()
    return Lock("4.3.0", (Jar("org.example", "one", "1.0", "one-1.0.jar", len(content), digest),))


class TestBrokers:
    def test_jars_are_checked_once_for_all_of_them(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        jars, asked = [directory / "one.jar"], []
        monkeypatch.setattr(kafka, "ensure_jars", lambda: asked.append(1) or jars)
        monkeypatch.setattr(Broker, "_format", lambda _: None)
        cluster = Kafka(directory / "kafka", directory, [(1, 2), (3, 4), (5, 6)], Options())

        cluster.fetch()
        for broker in cluster.brokers:
            broker.directory.mkdir(parents=True)
            broker.prepare()

        assert len(asked) == 1
        assert all(str(jars[0]) in map(str, broker.command()) for broker in cluster.brokers)


class TestEnsureJars:
    def test_fetches_once_and_works_offline_afterwards(self, repository: Path) -> None:
        first = ensure_jars(lock_of())
        (repository / "org/example/one/1.0/one-1.0.jar").unlink()

        again = ensure_jars(lock_of())

        assert first == again
        assert [jar.read_bytes() for jar in again] == [CONTENT]
        assert [path.name for path in jar_directory(lock_of()).iterdir()] == ["one-1.0.jar"]

    def test_a_download_with_a_wrong_hash_is_not_installed(self, repository: Path) -> None:
        with pytest.raises(StackError, match=r"one-1\.0\.jar has the wrong SHA-256 .*not installed"):
            ensure_jars(lock_of(b"what was locked"))

        assert list(jar_directory(lock_of()).iterdir()) == []

    def test_a_cached_jar_that_changed_is_refused(self, repository: Path) -> None:
        (jar,) = ensure_jars(lock_of())
        jar.write_bytes(b"tampered with")

        with pytest.raises(StackError, match=r"has the wrong SHA-256 .*delete it and start again"):
            ensure_jars(lock_of())

    def test_without_a_network_the_first_start_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("jgo.constants.MAVEN_CENTRAL_URL", f"http://{HOST}:{reserve()}")

        with pytest.raises(
            StackError, match=r"org\.example:one:1\.0 could not be fetched \(no connection\): .*network"
        ):
            ensure_jars(lock_of())


class TestLock:
    def test_names_every_jar_exactly_and_no_host(self) -> None:
        lock = read_lock()

        assert len(lock.jars) == len({jar.file for jar in lock.jars}) == 46
        assert {jar.version for jar in lock.jars if jar.group == "org.apache.kafka"} == {lock.kafka}
        assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in lock.jars)
        assert "://" not in (Path(read_lock.__code__.co_filename).parent / "kafka.lock.json").read_text()
