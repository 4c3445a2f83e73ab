"""The data servers of a benchmark, and Atelier on them: real processes with the settings that production would have.

The S3 server is SeaweedFS and the broker runs without its small-machine flags. The provider answers at once.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil

from devstack import services
from devstack.credentials import SERVICES, Credentials
from devstack.infra import Infra
from devstack.java import Jvm
from devstack.ports import reserve
from devstack.server import Server
from devstack.services import BUCKET, TWINS, Addresses, Program

ROOT = Path(__file__).resolve().parents[1]
PATH = {"PYTHONPATH": str(ROOT)}
CREDITS = 2_000_000_000
"""More than any benchmark spends."""
SETTINGS = {
    **{f"{service.upper()}_LOG_LEVEL": "WARNING" for service in SERVICES},
    "GATEWAY_RATE_LIMIT": "1000000",
    "BILLING_REGISTRATION_CREDITS": str(CREDITS),
    # The instant provider is no Stripe.
    "BILLING_STRIPE_API_KEY": "",
    # Where it matters how fast pictures are kept, their thumbnails wait, as they would on a machine of their own.
    "STORAGE_THUMBNAIL_CONCURRENCY": "0",
}


@contextmanager
def running_infra() -> Iterator[Infra]:
    """PostgreSQL, Kafka, Valkey and S3; what they wrote is thrown away afterwards."""
    with tempfile.TemporaryDirectory(prefix="atelier-bench-", ignore_cleanup_errors=True) as scratch:
        infra = Infra(Path(scratch), kafka_jvm=Jvm(heap="512m", full_compiler=True), s3_kind="seaweedfs")
        infra.start()
        try:
            infra.s3.create_bucket(BUCKET)
            yield infra
        finally:
            infra.kill()


class Bundle:
    """Programs that are started, stopped, paused and looked at together."""

    programs: Sequence[Server]
    measured: Sequence[Server]
    """Those that are the product, without what stands in for the outside."""

    def start(self) -> None:
        with ThreadPoolExecutor(len(self.programs)) as threads:
            list(threads.map(_boot, self.programs))

    def stop(self) -> None:
        with ThreadPoolExecutor(len(self.programs)) as threads:
            list(threads.map(lambda program: program.stop(), self.programs))

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time so far, by program, children included."""
        return {program.name: cpu_seconds(program.child.pid) for program in self.measured}


class Atelier(Bundle):
    """The five services and a provider. `settings` are variables that win over those of the stack."""

    def __init__(self, infra: Infra, *, settings: Mapping[str, str] | None = None) -> None:
        data, logs = infra.data_dir, infra.data_dir / "logs"
        credentials = Credentials.load(data)
        self.addresses = Addresses({name: reserve() for name in (*SERVICES, TWINS)})
        for name in SERVICES:
            infra.postgres.create_database(name, credentials.postgres[name])
        self.services = self.measured = [
            Program(
                name,
                data / "run",
                logs,
                self.addresses.ports[name],
                arguments=["serve", "--migrate"],
                settings=services.settings(name, infra, credentials, self.addresses, twins_only=True)
                | SETTINGS
                | dict(settings or {}),
            )
            for name in SERVICES
        ]
        self.provider = self._instant_provider(data, logs)
        self.programs = [*self.services, self.provider]

    @property
    def port(self) -> int:
        return self.addresses.ports["gateway"]

    def pause(self) -> None:
        """Everything but gateway stands still."""
        for program in self.services[1:]:
            program.pause()

    def resume(self) -> None:
        for program in self.services[1:]:
            program.resume()

    def _instant_provider(self, data: Path, logs: Path) -> Program:
        port = self.addresses.ports[TWINS]
        return program("bench.provider", data, logs, port, "--port", str(port))


class Plain(Program):
    """A program that is not installed, and starts by itself."""

    forked = False


def program(name: str, directory: Path, logs: Path, port: int, *arguments: str, **settings: str) -> Program:
    """A module of this package as a program."""
    return Plain(name, directory / "run", logs, port, arguments=list(arguments), settings=PATH | settings)


def cpu_seconds(pid: int | None) -> float:
    """Processor time of a process and its children."""
    if pid is None:
        return 0.0
    root = psutil.Process(pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def infra_cpu_seconds(infra: Infra) -> dict[str, float]:
    """Processor time of the data servers so far. PostgreSQL keeps that of ended backends in its main process."""
    spent = {}
    for server in infra.servers:
        spent[server.name] = cpu_seconds(server.child.pid)
        if server.child.pid is not None:
            ended = psutil.Process(server.child.pid).cpu_times()
            spent[server.name] += ended.children_user + ended.children_system
    return spent


def _boot(server: Server) -> None:
    server.start()
    server.wait_ready()
