"""The command line against real servers: every command has one clear outcome, and every failure one clear line."""

import asyncio
import json
from argparse import ArgumentTypeError
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from kit import cli, outbox
from kit.service import Service
from kit.testing import Stack, emitted, eventually, records
from shared.ids import JobId, new_id
from toy.app import ToySettings, build
from toy.events import MarkErased, MarkMade
from toy.process import environment
from toy.reading import counts, letters, settled

Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run(toy: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``python -m toy ...`` in this process: exit code, stdout and stderr."""
    monkeypatch.setattr(cli.logs, "configure", lambda *_, **__: None)

    async def run(*arguments: str, **variables: str) -> tuple[int, str, str]:
        for name, value in environment(toy.settings, **variables).items():
            if name.startswith("TOY_"):
                monkeypatch.setenv(name, value)
        capsys.readouterr()
        try:
            code = await asyncio.to_thread(cli.main, "toy", ToySettings, build, argv=arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return code, printed.out.strip(), printed.err.strip()

    return run


class TestIds:
    def test_an_argument_is_an_id_of_its_kind(self) -> None:
        check = cli.id_of(JobId, "a job (job_...)")
        identifier = new_id("job")

        assert check(identifier) == identifier
        for other in (new_id("acc"), "job_", f"{identifier}\n"):
            with pytest.raises(ArgumentTypeError, match=r"is not the id of a job \(job_\.\.\.\)$"):
                check(other)


class TestConfiguration:
    async def test_a_complete_environment_is_told(self, run: Run) -> None:
        assert await run("check-config") == (0, "toy: the configuration is complete", "")

    async def test_every_fault_is_told_before_anything_starts(self, run: Run) -> None:
        code, out, err = await run("serve", TOY_HTTP_PORT="none", TOY_ENVIRONMENT="prod")
        assert (code, out) == (1, "")
        assert err.startswith("toy: the configuration is not complete:\nTOY_ENVIRONMENT: ")
        assert "\nTOY_HTTP_PORT: " in err

    @pytest.mark.parametrize(
        "arguments", [(), ("dance",), ("rewind",), ("outbox",), ("outbox", "resend", "--since", "x")]
    )
    async def test_a_command_that_is_none_explains_itself(self, run: Run, arguments: tuple[str, ...]) -> None:
        code, _, err = await run(*arguments)
        assert code == 2
        assert err.startswith("usage: python -m toy")

    async def test_a_role_that_is_none_is_told(self, run: Run) -> None:
        code, _, err = await run("serve", "--roles", "api,cook")
        assert (code, err) == (2, "unknown roles: cook; there are api, consumer, relay, worker")


class TestDatabase:
    async def test_migrate_is_repeatable_and_the_models_agree(self, run: Run) -> None:
        assert (await run("migrate"))[0] == 0
        assert (await run("migrate"))[0] == 0
        assert (await run("check-migrations"))[0] == 0

    async def test_a_database_that_differs_from_the_models_is_told(self, toy: Service, run: Run) -> None:
        async with toy.db.write() as session:
            await session.execute(text("ALTER TABLE counts ADD COLUMN extra text"))
        code, out, _ = await run("check-migrations")
        assert code == 1
        assert "extra" in out

    async def test_invariants_that_hold_and_that_do_not(self, toy: Service, run: Run) -> None:
        assert await run("invariants") == (0, "toy: all 4 invariants hold", "")
        await toy.edge.handle(records(MarkErased(thing="a")))

        code, out, _ = await run("invariants")

        assert code == 1
        assert out.splitlines() == [
            "counts_are_positive: No count is negative. 1 rows do not, such as:",
            '  {"thing": "a", "count": -1}',
        ]

    async def test_the_openapi_document_needs_no_server(self, run: Run) -> None:
        code, out, _ = await run("openapi", TOY_DATABASE_URL="postgresql+asyncpg://x:x@127.0.0.1:1/x")
        assert code == 0
        assert "/marks" in json.loads(out)["paths"]


class TestDeadLetters:
    @pytest.fixture(autouse=True)
    async def _poison(self, toy: Service) -> None:
        await toy.edge.handle(records(MarkMade(thing="a", weight=5000)))
        await toy.edge.handle(records(MarkMade(thing="a"), MarkMade(thing="b")))

    async def first(self, run: Run) -> str:
        _, out, _ = await run("dead-letters", "list")
        return out.split()[0]

    async def test_list_and_show_say_what_happened(self, run: Run) -> None:
        code, out, _ = await run("dead-letters", "list")
        assert code == 0
        dead, parked = out.splitlines()
        assert "dead" in dead
        assert "key=a" in dead
        assert "counts_below_thousand" in dead
        assert "parked" in parked
        assert (await run("dead-letters", "list", "--key", "b"))[1] == ""

        code, out, _ = await run("dead-letters", "show", await self.first(run))
        assert code == 0
        assert json.loads(json.loads(out)["value"])["weight"] == 5000

    async def test_replay_tells_whether_all_went_well(self, toy: Service, run: Run) -> None:
        assert await run("dead-letters", "replay") == (1, "0 handled, 1 keys failed again", "")
        async with toy.db.write() as session:
            await session.execute(text("ALTER TABLE counts DROP CONSTRAINT counts_below_thousand"))
        assert await run("dead-letters", "replay", "--key", "a") == (0, "2 handled, 0 keys failed again", "")
        assert await counts(toy) == {"a": 5001, "b": 1}

    async def test_an_id_replays_that_letter_alone_and_never_before_an_earlier_one_of_its_key(
        self, toy: Service, run: Run
    ) -> None:
        await toy.edge.handle(records(MarkMade(thing="poison")))
        _, out, _ = await run("dead-letters", "list", "--key", "a")
        dead, parked = (line.split()[0] for line in out.splitlines())
        async with toy.db.write() as session:
            await session.execute(text("ALTER TABLE counts DROP CONSTRAINT counts_below_thousand"))

        code, _, err = await run("dead-letters", "replay", parked)
        assert (code, f"waits behind {dead}" in err) == (1, True)
        code, out, _ = await run("dead-letters", "replay", dead)
        assert (code, out.startswith(f"{dead} handled")) == (0, True)
        assert await counts(toy) == {"a": 5000, "b": 1}
        assert await letters(toy) == [("parked", "a"), ("dead", "poison")]

        _, out, _ = await run("dead-letters", "list", "--key", "poison")
        poison = out.split()[0]
        code, out, _ = await run("dead-letters", "replay", poison)
        assert (code, out) == (1, f"{poison} failed again; `dead-letters show {poison}` says why")

    async def test_a_dropped_letter_is_gone(self, toy: Service, run: Run) -> None:
        code, out, _ = await run("dead-letters", "drop", await self.first(run))
        assert code == 0
        assert "run `dead-letters replay`" in out
        assert await letters(toy) == [("parked", "a")]

    @pytest.mark.parametrize("action", ["show", "drop"])
    async def test_a_letter_must_be_named(self, run: Run, action: str) -> None:
        code, _, err = await run("dead-letters", action)
        assert (code, "needs the id" in err) == (2, True)

    @pytest.mark.parametrize("action", ["show", "drop", "replay"])
    async def test_a_letter_must_exist(self, run: Run, action: str) -> None:
        assert await run("dead-letters", action, "999999") == (1, "", "there is no letter 999999")


class TestKafka:
    async def test_outbox_lag_and_resend(self, toy: Service, run: Run) -> None:
        async with toy.db.write() as session:
            outbox.add(session, MarkMade(thing="a"))
        code, out, _ = await run("outbox", "lag")
        assert (code, out.startswith("1 events wait, the oldest for ")) == (0, True)

        async with toy.db.write() as session:
            await session.execute(text("UPDATE outbox SET sent_at = now() - interval '5 minutes'"))
        code, out, err = await run("outbox", "resend", "--since", "10")
        assert (code, out, len(err.splitlines()), "TOY_OUTBOX_KEEP" in err) == (1, "", 1, True)
        keep = {"TOY_OUTBOX_KEEP": "PT1H"}
        assert await run("outbox", "resend", "--since", "1", **keep) == (0, "0 events will be sent again", "")
        assert await run("outbox", "resend", "--since", "10", **keep) == (0, "1 events will be sent again", "")

    async def test_rewind_moves_a_stopped_service_and_refuses_a_running_one(
        self, toy_on_kafka: Service, run: Run
    ) -> None:
        toy, moment = toy_on_kafka, "2020-01-01T00:00:00+00:00"
        async with toy.running():
            await eventually(lambda: toy.consumer.assigned)
            code, _, err = await run("rewind", "--to", moment, "--wait", "0")
            assert (code, len(err.splitlines()), "stop the service" in err) == (1, 1, True)
            await eventually(lambda: settled(toy))
        assert await run("rewind", "--to", moment) == (
            0,
            f"{sum(topic.partitions for topic in toy.consumer_topics)} partitions will be read again from {moment}",
            "",
        )

    async def test_a_moment_needs_an_offset(self, run: Run) -> None:
        code, _, err = await run("rewind", "--to", "2020-01-01T00:00:00")
        assert (code, err) == (2, "--to needs an offset, for example 2026-11-21T12:00:00+00:00")


class TestServersAway:
    @pytest.mark.parametrize(
        "arguments",
        [("migrate",), ("check-migrations",), ("invariants",), ("dead-letters", "list"), ("outbox", "lag")],
        ids=" ".join,
    )
    @pytest.mark.parametrize("url", ["postgresql+asyncpg://x:x@127.0.0.1:1/x", "no such database", "wrong password"])
    async def test_a_database_that_does_not_answer_is_one_line(
        self, stack: Stack, run: Run, arguments: tuple[str, ...], url: str
    ) -> None:
        if url == "no such database":
            url = stack.database_url("no_such_database")
        elif url == "wrong password":
            url = stack.database_url("postgres").replace("://postgres:", "://postgres:not")
        code, out, err = await run(*arguments, TOY_DATABASE_URL=url)
        assert (code, out) == (1, "")
        (line,) = err.splitlines()
        assert line.startswith("toy: ")
        assert "postgres:not" not in line

    async def test_kafka_that_does_not_answer_is_one_line(self, run: Run) -> None:
        code, _, err = await run("migrate", TOY_KAFKA_BOOTSTRAP="127.0.0.1:1")
        (line,) = err.splitlines()
        assert (code, line.startswith("toy: a server this command needs is away")) == (1, True)

    async def test_a_database_without_tables_is_one_line_that_says_what_to_do(self, stack: Stack, run: Run) -> None:
        code, _, err = await run("invariants", TOY_DATABASE_URL=stack.database_url("postgres"))
        (line,) = err.splitlines()
        assert (code, "migrate" in line) == (1, True)


async def test_a_new_migration_is_written_where_the_others_are(
    toy: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []

    async def generate(db: Any, folder: Path, metadata: Any, message: str) -> Path:
        written.append((folder, message))
        return tmp_path / "new.py"

    monkeypatch.setattr(cli.migrations, "generate", generate)
    arguments = cli._parser("toy", None).parse_args(["migration", "more marks"])

    assert await arguments.run(toy, arguments) == 0
    assert written == [(toy.migrations, "more marks")]
    assert await emitted(toy.db) == []
