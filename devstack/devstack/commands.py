"""Commands of the services, run with the environment that the stack gives them.

`run` needs a stack that is up. `migration` needs none: it starts a PostgreSQL of its own to compare the models with.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from devstack.credentials import SERVICES
from devstack.datadir import DataDir
from devstack.errors import StackError
from devstack.stack import Options, Stack


def run(data: DataDir, service: str, arguments: Sequence[str]) -> int:
    """`python -m SERVICE ARGUMENTS` beside the running stack; its exit code."""
    return _call(_beside(data), service, arguments)


def invariants(data: DataDir) -> int:
    """Every service's invariants, all of them even when one does not hold."""
    stack = _beside(data)
    return max(_call(stack, service, ["invariants"]) for service in SERVICES)


def migration(service: str, message: str) -> int:
    """Write a service's next migration from the difference between its models and its migrations."""
    with tempfile.TemporaryDirectory() as scratch:
        data = DataDir(Path(scratch))
        data.acquire()
        stack = Stack(data, Options(base_port=None))
        postgres = stack.infra.postgres
        try:
            postgres.start()
            postgres.wait_ready()
            postgres.create_database(service, stack.credentials.postgres[stack.service(service).name])
            return _call(stack, service, ["migration", message])
        finally:
            postgres.kill()
            data.release()


def _beside(data: DataDir) -> Stack:
    """The running stack as others see it: its addresses and secrets."""
    running = data.running()
    if running is None or not running.base_port:
        raise StackError("Atelier is not up: run `make up` in another terminal first")
    return Stack(data, Options(base_port=running.base_port, kafka_brokers=running.kafka_brokers))


def _call(stack: Stack, service: str, arguments: Sequence[str]) -> int:
    program = stack.service(service)
    command = [sys.executable, "-m", program.name, *arguments]
    return subprocess.run(command, env=program.environment(), check=False).returncode  # noqa: S603  our own program
