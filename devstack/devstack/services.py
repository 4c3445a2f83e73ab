"""The five services and the twins as child processes.

A service gets everything by environment variables with its own prefix. What wires it to this stack is set here
and wins; taste (log format, model names, provider keys) is the user's, from the shell that started the stack.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from devstack import payments
from devstack.credentials import SERVICES, Credentials
from devstack.infra import Infra
from devstack.ports import HOST
from devstack.server import STOP_SECONDS, Server, answers_ok

BUCKET = "atelier"
TWINS = "twins"
PAID_STOP_SECONDS = 180.0
"""Longer than generation's drain, as the compose file has it: a call that is cut off is paid for nothing."""


@dataclass(frozen=True)
class Addresses:
    """Where each program listens."""

    ports: Mapping[str, int]

    def url(self, name: str) -> str:
        return f"http://{HOST}:{self.ports[name]}"


class Program(Server):
    """A Python program of this repository, ready when `GET /readyz` says so."""

    forked: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        directory: Path,
        logs: Path,
        port: int,
        *,
        arguments: list[str],
        settings: dict[str, str],
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        super().__init__(name, directory, logs, port, stop_seconds=stop_seconds)
        self.child.forked = self.forked
        self._arguments = arguments
        self._settings = settings

    def prepare(self) -> None:
        """Programs prepare themselves."""

    def command(self) -> list[str | Path]:
        return [sys.executable, "-m", self.name, *self._arguments]

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, **self._settings, "PYTHONUNBUFFERED": "1"}

    def is_ready(self) -> bool:
        return answers_ok(f"http://{HOST}:{self.port}/readyz")


def make_twins(data: Path, logs: Path, addresses: Addresses) -> Program:
    port = addresses.ports[TWINS]
    directory = data / TWINS
    arguments = ["serve", "--host", HOST, "--port", str(port), "--data", str(directory)]
    return Program(TWINS, directory, logs, port, arguments=arguments, settings={})


def make_services(
    infra: Infra, credentials: Credentials, logs: Path, addresses: Addresses, *, twins_only: bool
) -> list[Program]:
    """The five, in the order of a job's life. `twins_only`: ignore the user's provider keys."""
    pays = not twins_only and openai_key() is not None
    return [
        Program(
            name,
            infra.data_dir / "run",
            logs,
            addresses.ports[name],
            arguments=["serve", "--migrate"],
            settings=settings(name, infra, credentials, addresses, twins_only=twins_only),
            stop_seconds=PAID_STOP_SECONDS if pays and name == "generation" else STOP_SECONDS,
        )
        for name in SERVICES
    ]


def settings(
    name: str, infra: Infra, credentials: Credentials, addresses: Addresses, *, twins_only: bool
) -> dict[str, str]:
    """The environment of one service."""
    wired = _everywhere(name, infra, addresses)
    if name != "gateway":
        wired["IDENTITY_PUBLIC_KEY"] = credentials.identity_public_key
    if name in {"gateway", "generation"}:
        wired["REDIS_URL"] = infra.valkey.url
    if name in {"generation", "storage"}:
        wired |= _object_store(infra)
    match name:
        case "gateway":
            wired |= {**_gateway(credentials, addresses), "MEDIA_URL": infra.s3.url}
            wired |= payments.gateway_settings(credentials, twins_only=twins_only)
        case "billing":
            wired |= payments.billing_settings(addresses.url(TWINS), addresses.url("gateway"), twins_only=twins_only)
        case "generation":
            wired |= _openai(addresses, twins_only=twins_only)
        case "storage":
            wired["S3_PUBLIC_URL"] = infra.s3.url
        case "publishing":
            wired |= {
                "SEAL_PRIVATE_KEY": credentials.seal_private_key,
                "SIGNING_MASTER_SECRET": credentials.signing_master_secret,
                "ALLOW_LOOPBACK": "true",
            }
    prefix = f"{name.upper()}_"
    tastes = {f"{prefix}LOG_FORMAT": "console"}
    return {key: os.environ.get(key, value) for key, value in tastes.items()} | {
        prefix + key: value for key, value in wired.items()
    }


def _everywhere(name: str, infra: Infra, addresses: Addresses) -> dict[str, str]:
    return {
        "ENVIRONMENT": "development",
        "HTTP_HOST": HOST,
        "HTTP_PORT": str(addresses.ports[name]),
        "DATABASE_URL": infra.postgres.url(name),
        "KAFKA_BOOTSTRAP": infra.kafka.bootstrap,
        "KAFKA_REPLICATION": str(infra.kafka.replication),
    }


def _gateway(credentials: Credentials, addresses: Addresses) -> dict[str, str]:
    return {
        "IDENTITY_PRIVATE_KEY": credentials.identity_private_key,
        "SEAL_PUBLIC_KEY": credentials.seal_public_key,
        "PUBLIC_URL": addresses.url("gateway"),
        **{f"{other.upper()}_URL": addresses.url(other) for other in SERVICES if other != "gateway"},
    }


def _object_store(infra: Infra) -> dict[str, str]:
    return {
        "S3_URL": infra.s3.url,
        "S3_ACCESS_KEY": infra.s3.access_key,
        "S3_SECRET_KEY": infra.s3.secret_key,
        "S3_BUCKET": BUCKET,
    }


def openai_key() -> str | None:
    """The user's own key, when one is exported."""
    return os.environ.get("GENERATION_OPENAI_API_KEY") or os.environ.get("OPENAI_API_KEY")


def _openai(addresses: Addresses, *, twins_only: bool) -> dict[str, str]:
    key = None if twins_only else openai_key()
    if key is not None:
        return {"OPENAI_API_KEY": key}
    return {"OPENAI_API_KEY": "twin", "OPENAI_BASE_URL": f"{addresses.url(TWINS)}/openai/v1"}
