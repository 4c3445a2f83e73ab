"""The data servers together, for the command line and for tests.

    with Infra(tmp_path, parts=("postgres", "kafka")) as infra:
        url = infra.postgres.create_database("billing", "secret")

All parts start side by side and are ready when `start()` returns; if one cannot start, the others are stopped
and its error is raised. Everything lives below `data_dir` and can be started again from there.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from devstack import ports, s3
from devstack.credentials import Credentials
from devstack.errors import StackError
from devstack.java import Jvm
from devstack.kafka import REPLICATED, SINGLE, Kafka, Options
from devstack.postgres import Postgres
from devstack.server import DEFAULT_TIMEOUT, Server, side_by_side
from devstack.valkey import Valkey

Part = Literal["postgres", "kafka", "valkey", "s3"]
PARTS: tuple[Part, ...] = ("postgres", "kafka", "valkey", "s3")
DEFAULT_BASE = 8100


class Infra:
    """PostgreSQL, Kafka, Valkey and S3 for one data directory."""

    def __init__(
        self,
        data_dir: Path,
        *,
        parts: Sequence[Part] = PARTS,
        kafka_brokers: int = 1,
        ephemeral_ports: bool = True,
        base_port: int = DEFAULT_BASE,
        s3_kind: str = "nanio",
        kafka_jvm: Jvm | None = None,
        record_kafka_archive: bool = False,
    ) -> None:
        if kafka_brokers not in (1, 3):
            raise StackError(f"KAFKA_BROKERS={kafka_brokers} is not possible: say 1 or 3")
        self.data_dir = data_dir.absolute()
        self.parts = tuple(parts)
        self._brokers = kafka_brokers
        self._base = None if ephemeral_ports else base_port
        self._s3_kind = s3_kind
        jvm = kafka_jvm or (SINGLE if kafka_brokers == 1 else REPLICATED)
        self._kafka_options = Options(jvm, record_archive=record_kafka_archive and kafka_brokers == 1)
        self._make_servers()

    def _make_servers(self) -> None:
        data, logs = self.data_dir, self.data_dir / "logs"
        secrets = Credentials.load(data)
        self.postgres = Postgres(data / "postgres", logs, self._port(20), secrets.postgres)
        node_ports = [(self._port(30 + 2 * node), self._port(31 + 2 * node)) for node in range(self._brokers)]
        self.kafka = Kafka(data / "kafka", logs, node_ports, self._kafka_options)
        self.valkey = Valkey(data / "valkey", logs, self._port(40), secrets.valkey)
        s3_ports = [self._port(50 + index) for index in range(s3.ports_needed(self._s3_kind))]
        keys = s3.Keys(secrets.s3_access_key, secrets.s3_secret_key)
        self.s3 = s3.make(self._s3_kind, data / f"s3-{self._s3_kind}", logs, s3_ports, keys)

    def _port(self, offset: int) -> int:
        return ports.reserve() if self._base is None else self._base + offset

    @property
    def servers(self) -> list[Server]:
        """Every program of the chosen parts, Kafka's nodes one by one."""
        by_part: dict[Part, list[Server]] = {
            "postgres": [self.postgres],
            "kafka": [*self.kafka.brokers],
            "valkey": [self.valkey],
            "s3": [self.s3],
        }
        return [server for part in self.parts for server in by_part[part]]

    def start(self, timeout: float = DEFAULT_TIMEOUT) -> None:
        if "kafka" in self.parts:
            self.kafka.fetch()
        try:
            side_by_side(lambda server: _boot(server, timeout), self.servers)
            if "kafka" in self.parts:
                self.kafka.wait_ready(timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        side_by_side(lambda part: part.stop(), self.servers)

    def kill(self) -> None:
        """SIGKILL to all: for data that nobody wants back."""
        side_by_side(lambda part: part.kill(), self.servers)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _boot(server: Server, timeout: float) -> None:
    server.start()
    server.wait_ready(timeout)
