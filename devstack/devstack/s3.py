"""The S3 server: `nanio` by default, SeaweedFS (`S3=seaweedfs`) for tests and benchmarks.

Both check signatures and keep objects and metadata over a kill. nanio starts in a quarter of a second and is
small; SeaweedFS is a full implementation and takes three seconds.
"""

import json
import os
import signal
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import urllib3
from minio import Minio
from minio.error import S3Error

from devstack.errors import StackError
from devstack.ports import HOST
from devstack.server import Server
from devstack.wheels import program

REGION = "us-east-1"
# SeaweedFS is several servers in one program, each with its own port after the one of S3.
SEAWEED_PORTS = (
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
)


@dataclass(frozen=True)
class Keys:
    """What a client signs its requests with."""

    access_key: str
    secret_key: str


class S3(Server):
    """What both servers have in common: credentials, a URL, buckets."""

    stop_by = signal.SIGTERM

    def __init__(self, directory: Path, logs: Path, ports: Sequence[int], keys: Keys) -> None:
        super().__init__("s3", directory, logs, ports[0], inner_ports=ports[1:], stop_signal=self.stop_by)
        self.access_key, self.secret_key = keys.access_key, keys.secret_key

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def create_bucket(self, name: str) -> None:
        client = self._client()
        if not client.bucket_exists(name):
            client.make_bucket(name)

    def is_ready(self) -> bool:
        try:
            self._client().list_buckets()
        except (S3Error, urllib3.exceptions.HTTPError, ValueError):
            return False
        return True

    def _client(self) -> Minio:
        once = urllib3.PoolManager(timeout=5.0, retries=False)
        return Minio(
            f"{HOST}:{self.port}",
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=False,
            region=REGION,
            http_client=once,
        )


class Nanio(S3):
    def prepare(self) -> None:
        """Remove what a kill cut off: nanio writes metadata to a name that must be free, and would refuse that key."""
        for half in self.directory.glob("*/.nanio-meta/**/*.json.tmp"):
            if half.is_file():
                half.unlink()

    def command(self) -> list[str | Path]:
        program("nanio", "cli.py", what="The S3 server")
        where = ["--host", HOST, "--port", str(self.port), "--data-dir", str(self.directory)]
        return [sys.executable, "-m", "nanio", "serve", *where, "--no-access-log", "--log-level", "warning"]

    def environment(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "NANIO_ACCESS_KEY": self.access_key,
            "NANIO_SECRET_KEY": self.secret_key,
            "NANIO_REGION": REGION,
        }


class SeaweedFS(S3):
    # It ignores SIGTERM for more than ten seconds, and SIGKILL loses nothing here.
    stop_by = signal.SIGKILL

    def prepare(self) -> None:
        credentials = {"accessKey": self.access_key, "secretKey": self.secret_key}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        config = self.directory / "s3.json"
        config.touch(mode=0o600)
        config.write_text(
            json.dumps({"identities": [{"name": "atelier", "credentials": [credentials], "actions": actions}]})
        )
        (self.directory / "data").mkdir(exist_ok=True)

    def command(self) -> list[str | Path]:
        inner = [f"-{name}={port}" for name, port in zip(SEAWEED_PORTS, self.inner_ports, strict=True)]
        return [
            _weed(),
            "-logtostderr",
            "server",
            f"-dir={self.directory / 'data'}",
            *(f"-ip={HOST}", f"-ip.bind={HOST}", "-master.telemetry=false", "-master.electionTimeout=1s"),
            *("-volume.max=100", "-master.volumeSizeLimitMB=1024"),
            *("-s3", f"-s3.port={self.port}", f"-s3.config={self.directory / 's3.json'}", *inner),
        ]


def ports_needed(kind: str) -> int:
    return len(SEAWEED_PORTS) + 1 if kind == "seaweedfs" else 1


def make(kind: str, directory: Path, logs: Path, ports: Sequence[int], keys: Keys) -> S3:
    servers: dict[str, type[S3]] = {"nanio": Nanio, "seaweedfs": SeaweedFS}
    if kind not in servers:
        raise StackError(f"S3={kind} is unknown: say S3=nanio or S3=seaweedfs")
    return servers[kind](directory, logs, ports, keys)


def _weed() -> Path:
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    if not weed.exists():
        raise StackError("SeaweedFS is missing: it has no wheel for this platform; leave S3 unset to use nanio")
    return weed
