"""The command line of every service: ``python -m billing --help`` lists the commands."""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import DBAPIError

from kit import dead_letters, invariants, logs, migrations, outbox, rewind, topics, tracing
from kit.database import is_transient
from kit.service import ROLES, RoleDiedError, Service
from kit.settings import ConfigurationError, ServiceSettings, load

log = structlog.get_logger()

RETRY_SECONDS = 0.5
UNDEFINED_TABLE = "42P01"

Build = Callable[[Any], Service]
Command = Callable[[Service, argparse.Namespace], Awaitable[int]]
Extend = Callable[[Any], None]  # gets what ArgumentParser.add_subparsers returns


def main(
    name: str,
    settings_class: type[ServiceSettings],
    build: Build,
    *,
    extend: Extend | None = None,
    argv: Sequence[str] | None = None,
) -> int:
    """Run one command and return its exit code. ``extend`` adds a service's own commands."""
    arguments = _parser(name, extend).parse_args(argv)
    try:
        settings = load(settings_class)
    except ConfigurationError as error:
        print(f"{name}: the configuration is not complete:\n{error}", file=sys.stderr)
        return 1
    if arguments.run is _check_config:
        print(f"{name}: the configuration is complete")
        return 0
    serving = arguments.run is _serve
    if serving:
        logs.configure(name, log_format=settings.log_format, level=settings.log_level, stream=sys.stdout)
    else:
        # what a command answers is on stdout alone
        logs.configure(name, log_format="console", level=settings.log_level, stream=sys.stderr)
    if serving:
        tracing.configure(name, settings.otlp_endpoint)
    try:
        return _run(_execute(build, settings, arguments))
    except KeyboardInterrupt:
        return 130


def _run(work: Any) -> int:
    try:
        import uvloop
    except ImportError:
        return int(asyncio.run(work))
    return int(uvloop.run(work))


async def _execute(build: Build, settings: ServiceSettings, arguments: argparse.Namespace) -> int:
    service = build(settings)
    try:
        return int(await arguments.run(service, arguments))
    except RoleDiedError as error:
        print(f"{service.name}: {error}", file=sys.stderr)
        return 1
    except (KafkaError, OSError) as error:
        print(f"{service.name}: a server this command needs is away: {error}", file=sys.stderr)
        return 1
    except DBAPIError as error:
        print(f"{service.name}: the database refused: {_reason(error)}", file=sys.stderr)
        return 1
    finally:
        await service.db.close()


def _parser(name: str, extend: Extend | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {name}")
    commands = parser.add_subparsers(required=True, metavar="command")

    serve = commands.add_parser("serve", help="run the service until SIGTERM")
    serve.add_argument("--roles", default=",".join(ROLES), help=f"comma-separated, of {', '.join(ROLES)}")
    serve.add_argument("--migrate", action="store_true", help="migrate first, waiting for servers (development)")
    serve.set_defaults(run=_serve)

    commands.add_parser("migrate", help="apply migrations and make topics").set_defaults(run=_migrate)

    migration = commands.add_parser("migration", help="write a new migration from the models")
    migration.add_argument("message")
    migration.set_defaults(run=_migration)

    commands.add_parser("check-migrations", help="compare models and database").set_defaults(run=_check_migrations)
    commands.add_parser("check-config", help="check the environment").set_defaults(run=_check_config)
    commands.add_parser("invariants", help="check what must always hold").set_defaults(run=_invariants)
    commands.add_parser("openapi", help="print the OpenAPI document").set_defaults(run=_openapi)

    letters = commands.add_parser("dead-letters", help="messages that could not be handled")
    letters.add_argument("action", choices=("list", "show", "replay", "drop"))
    letters.add_argument("id", nargs="?", type=int)
    letters.add_argument("--key", help="only letters of this key")
    letters.set_defaults(run=_dead_letters)

    box = commands.add_parser("outbox", help="events that wait to be sent")
    box.add_argument("action", choices=("lag", "resend"))
    box.add_argument("--since", type=_minutes, default=timedelta(hours=1), help="minutes back, for resend")
    box.set_defaults(run=_outbox)

    back = commands.add_parser("rewind", help="read topics again from a moment; the inbox skips what is known")
    back.add_argument("--to", required=True, type=datetime.fromisoformat, help="ISO 8601 with an offset")
    back.add_argument(
        "--wait",
        type=float,
        default=rewind.PATIENCE_SECONDS,
        metavar="SECONDS",
        help="for members that were killed to be forgotten (%(default)g)",
    )
    back.set_defaults(run=_rewind)

    if extend is not None:
        extend(commands)
    return parser


async def _serve(service: Service, arguments: argparse.Namespace) -> int:
    roles = frozenset(arguments.roles.split(","))
    if unknown := roles - set(ROLES):
        print(f"unknown roles: {', '.join(sorted(unknown))}; there are {', '.join(ROLES)}", file=sys.stderr)
        return 2
    service.roles = roles
    if arguments.migrate:
        await _migrate_when_possible(service)
    await service.serve()
    return 0


async def _migrate_when_possible(service: Service) -> None:
    told = ""
    while True:
        try:
            await _migrate(service, argparse.Namespace())
        except Exception as error:
            if not (is_transient(error) or isinstance(error, KafkaError)):
                raise
            if told != type(error).__name__:
                told = type(error).__name__
                log.warning("migration.waiting", reason=repr(error))
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


async def _migrate(service: Service, _: argparse.Namespace) -> int:
    settings = service.settings
    applied = await migrations.upgrade(service.db, service.migrations)
    made = await topics.ensure(
        settings.kafka_bootstrap,
        service.all_topics,
        prefix=settings.kafka_topic_prefix,
        replication=settings.kafka_replication,
    )
    log.info("service.migrated", revisions=applied, topics=made)
    return 0


async def _migration(service: Service, arguments: argparse.Namespace) -> int:
    await migrations.upgrade(service.db, service.migrations)
    path = await migrations.generate(service.db, service.migrations, service.metadata, arguments.message)
    print(path)
    return 0


async def _check_migrations(service: Service, _: argparse.Namespace) -> int:
    differences = await migrations.drift(service.db, service.metadata)
    for difference in differences:
        print(difference)
    return 1 if differences else 0


async def _check_config(_service: Service, _: argparse.Namespace) -> int:
    return 0


async def _invariants(service: Service, _: argparse.Namespace) -> int:
    violations = await invariants.check(service.db, service.all_invariants)
    for violation in violations:
        print(f"{violation.invariant.name}: {violation.invariant.fact} {violation.count} rows do not, such as:")
        for row in violation.sample:
            print(f"  {json.dumps(row, default=str)}")
    if not violations:
        print(f"{service.name}: all {len(service.all_invariants)} invariants hold")
    return 1 if violations else 0


async def _openapi(service: Service, _: argparse.Namespace) -> int:
    print(json.dumps(service.create_app().openapi(), indent=2))
    return 0


async def _dead_letters(service: Service, arguments: argparse.Namespace) -> int:
    if arguments.action in {"show", "drop"} and arguments.id is None:
        print(
            f"dead-letters {arguments.action} needs the id of a letter; `dead-letters list` shows them", file=sys.stderr
        )
        return 2
    match arguments.action:
        case "list":
            async with service.db.read() as session:
                for letter in await dead_letters.find(session, key=arguments.key):
                    error = letter.error.partition("\n")[0]
                    print(f"{letter.id}  {letter.state:6}  {letter.type}  key={letter.key.decode()}  {error}")
        case "show":
            async with service.db.read() as session:
                found = await dead_letters.get(session, arguments.id)
            if found is None:
                return _no_such_letter(arguments.id)
            print(json.dumps(asdict(found), indent=2, default=_show))
        case "replay":
            return await _replay(service, arguments)
        case "drop":
            async with service.db.write() as session:
                dropped = await dead_letters.drop(session, arguments.id)
            if not dropped:
                return _no_such_letter(arguments.id)
            print(f"{arguments.id} dropped; run `dead-letters replay` for what waited behind it")
    return 0


async def _replay(service: Service, arguments: argparse.Namespace) -> int:
    if arguments.id is None:
        handled, failed = await dead_letters.replay(service.db, service.edge, key=arguments.key)
        print(f"{handled} handled, {failed} keys failed again")
        return 1 if failed else 0
    try:
        if await dead_letters.replay_one(service.db, service.edge, arguments.id):
            print(f"{arguments.id} handled; `dead-letters replay` without an id runs what waited behind it")
            return 0
        print(f"{arguments.id} failed again; `dead-letters show {arguments.id}` says why")
    except LookupError:
        return _no_such_letter(arguments.id)
    except dead_letters.LetterWaitsError as error:
        print(str(error), file=sys.stderr)
    return 1


async def _outbox(service: Service, arguments: argparse.Namespace) -> int:
    if arguments.action == "resend":
        if not service.settings.outbox_keep:
            print(
                f"{service.name} keeps no sent events, so there is nothing to send again;"
                f" {service.name.upper()}_OUTBOX_KEEP=P7D keeps them from now on",
                file=sys.stderr,
            )
            return 1
        async with service.db.write() as session:
            count = await outbox.resend(session, since_seconds=arguments.since.total_seconds())
        print(f"{count} events will be sent again")
        return 0
    async with service.db.read() as session:
        waiting, age = await outbox.pending(session)
    print(f"{waiting} events wait, the oldest for {age:.1f} s")
    return 0


async def _rewind(service: Service, arguments: argparse.Namespace) -> int:
    if arguments.to.tzinfo is None:
        print("--to needs an offset, for example 2026-11-21T12:00:00+00:00", file=sys.stderr)
        return 2
    settings = service.settings
    prefix = settings.kafka_topic_prefix
    names = [prefix + topic.name for topic in service.consumer_topics]
    try:
        moved = await rewind.rewind(
            settings.kafka_bootstrap,
            group=prefix + service.name,
            topics=names,
            to=arguments.to,
            patience_seconds=arguments.wait,
        )
    except rewind.GroupActiveError as error:
        print(str(error), file=sys.stderr)
        return 1
    print(f"{moved} partitions will be read again from {arguments.to.isoformat()}")
    return 0


def _reason(error: DBAPIError) -> str:
    """What PostgreSQL said, without the statement, and what to do when it is plain."""
    told = error.orig.__cause__ if error.orig else error
    if getattr(told, "sqlstate", None) == UNDEFINED_TABLE:
        return f"{told}; run `migrate` first"
    return str(told).partition("\n")[0]


def _no_such_letter(identifier: int) -> int:
    print(f"there is no letter {identifier}", file=sys.stderr)
    return 1


def _minutes(value: str) -> timedelta:
    return timedelta(minutes=float(value))


def _show(value: Any) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def id_of(kind: Any, told: str) -> Callable[[str], str]:
    """The ``type`` of an argument that is an id, such as ``id_of(AccountId, "an account (acc_...)")``."""
    ids = TypeAdapter[str](kind)

    def check(value: str) -> str:
        try:
            return ids.validate_python(value)
        except ValidationError:
            raise argparse.ArgumentTypeError(f"{value!r} is not the id of {told}") from None

    return check


def migrations_folder(module_file: str) -> Path:
    """The ``migrations`` folder beside the package that ``module_file`` belongs to."""
    return Path(module_file).resolve().parent.parent / "migrations"
