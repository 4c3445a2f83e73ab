"""Apache Kafka's jars, fetched once per user and used offline afterwards.

`kafka.lock.json` names each jar by its Maven coordinates, size and SHA-256 and names no host: `jgo` knows Maven
Central. A jar gets its final name only after its hash was right, and every start checks all of them again.
`lock_kafka.py` remakes the lock.
"""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import truststore
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from devstack.errors import StackError
from devstack.paths import cache_dir

if TYPE_CHECKING:
    from jgo.maven import MavenContext

LOCK_FILE = Path(__file__).parent / "kafka.lock.json"
THREADS = 8


@dataclass(frozen=True)
class Jar:
    """One locked file."""

    group: str
    artifact: str
    version: str
    file: str
    size: int
    sha256: str

    @property
    def coordinates(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


@dataclass(frozen=True)
class Lock:
    """The broker's version and its whole class path, in order."""

    kafka: str
    jars: tuple[Jar, ...]


def read_lock(path: Path = LOCK_FILE) -> Lock:
    content = json.loads(path.read_text())
    return Lock(content["kafka"], tuple(Jar(**jar) for jar in content["jars"]))


def jar_directory(lock: Lock) -> Path:
    return cache_dir() / f"kafka-{lock.kafka}"


def ensure_jars(lock: Lock | None = None) -> list[Path]:
    """Every jar of the lock, checked; what is missing is fetched first."""
    lock = lock or read_lock()
    directory = jar_directory(lock)
    directory.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in lock.jars if not (directory / jar.file).exists()]
    if missing:
        _fetch(missing, directory)
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda jar: _verify(directory / jar.file, jar, "delete it and start again"), lock.jars))
    return [directory / jar.file for jar in lock.jars]


def _fetch(jars: list[Jar], directory: Path) -> None:
    bar = Progress(
        TextColumn("fetching Apache Kafka"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
    )
    with bar, ThreadPoolExecutor(THREADS) as threads, tempfile.TemporaryDirectory(dir=directory, prefix="new-") as new:
        task = bar.add_task("jars", total=sum(jar.size for jar in jars))
        central = _maven_central(Path(new), lambda size: bar.advance(task, size))
        downloads = [threads.submit(_download, jar, central, directory) for jar in jars]
        try:
            for download in downloads:
                download.result()
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def _maven_central(downloads: Path, advance: Callable[[int], None]) -> "MavenContext":
    # The machine's certificates, as pip and uv use them; before `requests` is imported, which keeps what it finds.
    truststore.inject_into_ssl()
    with warnings.catch_warnings():
        # Its import looks for a runtime directory, warns when the user has none, and never needs it here.
        warnings.simplefilter("ignore")
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.maven import MavenContext, PythonResolver

    @contextmanager
    def progress(_file: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield advance

    resolver = PythonResolver(progress_callback=progress)
    return MavenContext(
        resolver=resolver, repo_cache=downloads, remote_repos={"central": MAVEN_CENTRAL_URL}, timeout=30
    )


def _download(jar: Jar, central: "MavenContext", directory: Path) -> None:
    try:
        fetched = central.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    except (OSError, RuntimeError) as error:
        raise StackError(
            f"Kafka jar {jar.coordinates} could not be fetched ({_reason(error)}): the first start needs a network; "
            "check the connection or proxy and start again"
        ) from error
    _verify(fetched, jar, "it was not installed; try again, and if it stays so do not trust the network in between")
    fetched.replace(directory / jar.file)


def _verify(path: Path, jar: Jar, advice: str) -> None:
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != jar.sha256:
        raise StackError(
            f"Kafka jar {path} has the wrong SHA-256 ({actual[:12]}..., locked {jar.sha256[:12]}...): {advice}"
        )


def _reason(error: Exception) -> str:
    from requests import ConnectionError as NoConnection
    from requests import Timeout
    from requests.exceptions import SSLError

    match error:
        case SSLError():
            return "the server's certificate is not trusted by this machine"
        case Timeout():
            return "timed out"
        case NoConnection():
            return "no connection"
        case _:
            return str(error).splitlines()[0][:120]
