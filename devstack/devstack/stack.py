"""The whole of Atelier on one machine: data servers, services and twins of one data directory.

`start()` returns when every part is ready; if one cannot start, the others are stopped and its error is raised.
`stop()` ends services before servers, so that work can be put down properly. `own_stack()` is both, for a block.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack.credentials import SERVICES, Credentials
from devstack.datadir import DataDir
from devstack.errors import StackError
from devstack.infra import DEFAULT_BASE, Infra
from devstack.payments import announce_webhooks
from devstack.ports import reserve
from devstack.prometheus import Prometheus
from devstack.server import Server, side_by_side
from devstack.services import BUCKET, TWINS, Addresses, Program, make_services, make_twins
from devstack.supervisor import Supervisor

SERVICE_OFFSETS = {name: offset for offset, name in enumerate(SERVICES)} | {TWINS: 10}
PROMETHEUS_OFFSET = 60


@dataclass(frozen=True)
class Options:
    """What a person can choose. `base_port` None: any free ports."""

    base_port: int | None = DEFAULT_BASE
    kafka_brokers: int = 1
    s3: str = "nanio"
    twins_only: bool = False
    observe: bool = False
    record_archive: bool = False


class Stack:
    """One data directory's programs. Call `data.acquire()` first."""

    def __init__(self, data: DataDir, options: Options) -> None:
        self.data = data
        self.options = options
        self.credentials = Credentials.load(data.path)
        self.infra = Infra(
            data.path,
            kafka_brokers=options.kafka_brokers,
            ephemeral_ports=options.base_port is None,
            base_port=options.base_port or DEFAULT_BASE,
            s3_kind=options.s3,
            record_kafka_archive=options.record_archive,
        )
        base = options.base_port
        self.addresses = Addresses(
            {name: reserve() if base is None else base + offset for name, offset in SERVICE_OFFSETS.items()}
        )
        self.twins = make_twins(data.path, data.logs, self.addresses)
        self.services = make_services(
            self.infra, self.credentials, data.logs, self.addresses, twins_only=options.twins_only
        )
        self.observers: list[Prometheus] = []
        if options.observe:
            port = reserve() if base is None else base + PROMETHEUS_OFFSET
            targets = {name: self.addresses.ports[name] for name in SERVICES}
            self.observers.append(Prometheus(data.path / "prometheus", data.logs, port, targets))
        self._stopping = threading.Event()

    @property
    def parts(self) -> list[Server]:
        return [*self.infra.servers, self.twins, *self.services, *self.observers]

    @property
    def url(self) -> str:
        return self.addresses.url("gateway")

    def service(self, name: str) -> Program:
        for service in self.services:
            if service.name == name:
                return service
        raise StackError(f"there is no service {name!r}; there are: {', '.join(SERVICES)}")

    def start(self, told: Callable[[Server], None] = lambda _part: None) -> None:
        """Start all parts side by side; `told` hears of each as it gets ready."""
        self.infra.kafka.fetch()
        with ThreadPoolExecutor(len(self.parts)) as threads:
            try:
                others = (*self.infra.servers, self.twins, *self.observers)
                first = [part for part in others if part is not self.infra.postgres]
                boots = [threads.submit(self._boot, part, told) for part in first]
                self._boot(self.infra.postgres, told)
                for name in SERVICES:
                    self.infra.postgres.create_database(name, self.credentials.postgres[name])
                # They need their database to exist and wait for everything else by themselves.
                boots += [threads.submit(self._boot, part, told) for part in self.services]
                for boot in as_completed(boots):
                    boot.result()
            except BaseException:
                # Ends the children, and with them the threads that wait for them.
                self.stop()
                raise

    def supervise(self, until: threading.Event, say: Callable[[str], None]) -> None:
        """Start again what ends, until `until` is set; raises StackError when that does not help."""
        Supervisor(self.parts, essential=self.infra.servers).watch(until, say)

    def stop(self) -> None:
        self._stopping.set()
        side_by_side(lambda part: part.stop(), [*self.services, self.twins, *self.observers])
        side_by_side(lambda part: part.stop(), self.infra.servers)

    def _boot(self, part: Server, told: Callable[[Server], None]) -> None:
        part.start()
        if self._stopping.is_set():
            part.stop()
            return
        part.wait_ready()
        if part is self.infra.s3:
            self.infra.s3.create_bucket(BUCKET)
        if part is self.twins:
            announce_webhooks(self.addresses.url(TWINS), self.url, self.credentials)
        told(part)


@contextmanager
def own_stack(directory: Path, *, kafka_brokers: int = 1) -> Iterator[Stack]:
    """A started stack that nobody else uses: a directory of its own, free ports, the twins alone."""
    data = DataDir(directory)
    if other := data.acquire():
        raise StackError(f"process {other.pid} runs on {directory}")
    stack = Stack(data, Options(base_port=None, kafka_brokers=kafka_brokers, twins_only=True))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        data.release()
