"""The command line: `python -m devstack up|down|logs|demo|run|...`.

Whatever goes wrong in a way that a person can mend ends in one line on standard error and the status 1.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from devstack.datadir import DataDir, default_path
from devstack.errors import StackError
from devstack.infra import DEFAULT_BASE
from devstack.stack import Options


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments) or 0
    except StackError as error:
        print(f"atelier: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int | None:
    # Each command imports what it needs, so that `down` and `logs` answer at once.
    match arguments.command:
        case "up":
            from devstack.up import up

            up(DataDir(default_path()), _options())
        case "down":
            from devstack.up import down

            down(DataDir(default_path()))
        case "logs":
            from devstack.up import logs

            logs(DataDir(default_path()), arguments.part, follow=arguments.follow, lines=arguments.lines)
        case "demo":
            from devstack.demo import demo

            demo()
        case "run":
            from devstack.commands import run

            return run(DataDir(default_path()), arguments.service, arguments.arguments)
        case "invariants":
            from devstack.commands import invariants

            return invariants(DataDir(default_path()))
        case "migration":
            from devstack.commands import migration

            return migration(arguments.service, arguments.message)
        case "lock-kafka":
            from devstack.lock_kafka import remake

            print(f"{remake()} jars locked")
    return None


def _options() -> Options:
    """From the environment, because the commands are mostly called through make."""
    return Options(
        base_port=_number("ATELIER_PORT_BASE", DEFAULT_BASE),
        kafka_brokers=_number("KAFKA_BROKERS", 1),
        s3=os.environ.get("S3") or "nanio",
        observe=bool(_number("OBSERVE", 0)),
    )


def _number(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdigit():
        raise StackError(f"{name}={value} is not a number")
    return int(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devstack", description="Atelier on this machine")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("up", help="start everything and stay")
    commands.add_parser("down", help="stop what `up` started")
    logs = commands.add_parser("logs", help="show what the parts print")
    logs.add_argument("part", nargs="?", help="only this one, for example billing or kafka-1")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as more comes")
    logs.add_argument("-n", "--lines", type=int, default=20, help="how many of each (20)")
    commands.add_parser("demo", help="make one picture from request to delivery, then stop")
    run = commands.add_parser("run", help="a command of a service, beside the running stack")
    run.add_argument("service")
    run.add_argument("arguments", nargs=argparse.REMAINDER, help="for example: dead-letters list")
    commands.add_parser("invariants", help="check what must always hold, in every service")
    migration = commands.add_parser("migration", help="write a service's next migration")
    migration.add_argument("service")
    migration.add_argument("message")
    commands.add_parser("lock-kafka", help="remake the lock of Kafka's jars (needs Maven)")
    return parser
