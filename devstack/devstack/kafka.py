"""Apache Kafka 4.3 in KRaft mode: one broker, or three that replicate.

Every broker is also a controller and keeps its node id, ports and log directory for ever. One broker replicates
nothing; three replicate everything three times and accept a write when two have it. Session timeouts are short,
because here a broker is restarted by people and tests and not by a slow network.
"""

import asyncio
import logging
import os
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import StackError
from devstack.jars import ensure_jars
from devstack.java import Jvm, StartupArchive, java
from devstack.ports import HOST
from devstack.process import wait_until
from devstack.server import DEFAULT_TIMEOUT, Server, side_by_side

LOGGING = Path(__file__).parent / "log4j2.properties"
# Tells the data of one cluster from that of another; here every directory holds one cluster, so one name will do.
CLUSTER_ID = "QXRlbGllciBkZXZzdGFjaw"
SINGLE, REPLICATED = Jvm(heap="160m"), Jvm(heap="256m")

# A broker that does not answer yet is no news, but without a handler Python would print it.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Options:
    """How the brokers run. Recording makes Java's start-up archive at the stop, which then takes some seconds more."""

    jvm: Jvm = SINGLE
    record_archive: bool = False


class Broker(Server):
    """One node. `voters` are the controller ports of all nodes, in node order."""

    def __init__(
        self, directory: Path, logs: Path, port: int, *, node: int, voters: Sequence[int], options: Options
    ) -> None:
        super().__init__(f"kafka-{node}", directory, logs, port, inner_ports=[voters[node - 1]])
        self.node = node
        self._voters = voters
        self._options = options
        self.jars: list[Path] = []

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def prepare(self) -> None:
        self.jars = self.jars or ensure_jars()
        self._archive = StartupArchive(self.jars)
        properties = self._properties()
        self._config.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        if not (self.directory / "log" / "meta.properties").exists():
            self._format()

    def command(self) -> list[str | Path]:
        return [*self._java(*self._archive.flags(record=self._options.record_archive)), "kafka.Kafka", self._config]

    def stop(self) -> None:
        super().stop()
        if self._options.record_archive:
            self._archive.adopt()

    def environment(self) -> Mapping[str, str]:
        # A user's own Java options are meant for other programs and may not fit this runtime.
        return {name: value for name, value in os.environ.items() if name not in {"JAVA_TOOL_OPTIONS", "CLASSPATH"}}

    def is_ready(self) -> bool:
        return self.node in _known_brokers(self.address)

    @property
    def _config(self) -> Path:
        return self.directory / "server.properties"

    def _java(self, *flags: str) -> list[str | Path]:
        logging = f"-Dlog4j2.configurationFile={LOGGING.as_uri()}"
        return [java(), *self._options.jvm.flags, *flags, logging, "-cp", os.pathsep.join(map(str, self.jars))]

    def _format(self) -> None:
        command = [
            *self._java(*self._archive.flags()),
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={CLUSTER_ID}",
        ]
        done = subprocess.run(  # noqa: S603  our Java with our class path
            [*command, "-c", self._config], env=self.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            reason = ((done.stderr or done.stdout).strip().splitlines() or ["no message"])[-1]
            raise StackError(f"Kafka could not format {self.directory}: {reason}")

    def _properties(self) -> dict[str, str | int]:
        nodes = len(self._voters)
        quorum = ",".join(f"{node}@{HOST}:{port}" for node, port in enumerate(self._voters, start=1))
        return {
            "process.roles": "broker,controller",
            "node.id": self.node,
            "controller.quorum.voters": quorum,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{HOST}:{self.inner_ports[0]}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "log.dirs": _escaped(self.directory / "log"),
            **_replication(nodes),
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": 8,
            "transaction.state.log.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            # The default buffer of 128 MB does not fit a small heap.
            "log.cleaner.dedupe.buffer.size": 4194304,
            "log.cleaner.io.buffer.size": 131072,
            # By default a restart after a kill waits nine seconds for the old session to end.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 500,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 2,
        }


class Kafka:
    """The cluster as a whole; `brokers[i]` is node i + 1."""

    def __init__(self, directory: Path, logs: Path, ports: Sequence[tuple[int, int]], options: Options) -> None:
        voters = [controller for _, controller in ports]
        self.brokers = [
            Broker(directory / f"node-{node}", logs, port, node=node, voters=voters, options=options)
            for node, (port, _) in enumerate(ports, start=1)
        ]

    @property
    def bootstrap(self) -> str:
        return ",".join(broker.address for broker in self.brokers)

    @property
    def replication(self) -> int:
        return len(self.brokers)

    def fetch(self) -> None:
        """Get and check the jars once, rather than by every broker: the first time it downloads."""
        jars = ensure_jars()
        for broker in self.brokers:
            broker.jars = jars

    def start(self) -> None:
        side_by_side(lambda part: part.start(), self.brokers)

    def wait_ready(self, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Ready when every broker sees every other."""
        for broker in self.brokers:
            broker.wait_ready(timeout)
        everyone = {broker.node for broker in self.brokers}
        if not wait_until(lambda: all(_known_brokers(b.address) == everyone for b in self.brokers), timeout):
            log = self.brokers[0].child.log
            raise StackError(f"the Kafka brokers do not see each other after {timeout:.0f} s: see {log}")

    def stop(self) -> None:
        side_by_side(lambda part: part.stop(), self.brokers)

    def kill(self) -> None:
        for broker in self.brokers:
            broker.kill()

    def pause(self) -> None:
        for broker in self.brokers:
            broker.pause()

    def resume(self) -> None:
        for broker in self.brokers:
            broker.resume()


def _replication(nodes: int) -> dict[str, int]:
    copies, in_sync = (1, 1) if nodes == 1 else (3, 2)
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def _known_brokers(address: str) -> set[int]:
    """The node ids in one broker's answer to a metadata request; empty when it gave none."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, _ask_for_brokers(address)).result()


async def _ask_for_brokers(address: str) -> set[int]:
    from aiokafka.client import AIOKafkaClient
    from aiokafka.errors import KafkaError

    client = AIOKafkaClient(bootstrap_servers=address, request_timeout_ms=5000)
    try:
        await client.bootstrap()
        return {broker.nodeId for broker in client.cluster.brokers()}
    except (KafkaError, OSError, TimeoutError):
        return set()
    finally:
        await client.close()


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\")
