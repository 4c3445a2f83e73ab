"""Gateway as a service: its commands, its schema, what it forgets."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

import kit.cli
from gateway import cli
from gateway.app import build
from gateway.retention import KEEP_JOURNAL, RULES
from gateway.sessions import create_ticket, redeem_ticket
from gateway.settings import GatewaySettings
from kit.cli import main
from kit.retention import Retention
from kit.testing import emitted, records
from shared.events import AccountRegistered, AccountSignedIn
from shared.ids import new_id

from .conftest import LIFETIME

WIRING = [
    "public_url",
    "identity_private_key",
    "seal_public_key",
    "billing_url",
    "generation_url",
    "storage_url",
    "publishing_url",
]


class TestCommands:
    @pytest.fixture
    def run(self, gateway, monkeypatch, capsys):
        """Run a command of gateway in its environment; exit code, output, errors."""
        monkeypatch.setattr(kit.cli.logs, "configure", lambda *_, **__: None)  # it would outlive the test
        for name in [*WIRING, "database_url", "environment", "http_port", "kafka_bootstrap", "redis_url"]:
            value = getattr(gateway.settings, name)
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            monkeypatch.setenv(f"GATEWAY_{name.upper()}", str(plain))

        def run_main(argv):
            return main("gateway", GatewaySettings, build, extend=cli.extend, argv=argv)

        async def command(*argv):
            code = await asyncio.to_thread(
                lambda: main("gateway", GatewaySettings, build, extend=cli.extend, argv=argv)
            )
            captured = capsys.readouterr()
            return code, captured.out, captured.err

        return command

    async def test_an_account_is_made_with_its_first_key(self, gateway, run, http):
        code, output, _ = await run("accounts", "create", "--email", "Ada@example.com")

        assert code == 0
        made = json.loads(output)
        assert made["email"] == "ada@example.com"
        me = await http.get("/v1/me", headers={"Authorization": f"Bearer {made['api_key']}"})
        assert me.json()["account_id"] == made["account_id"]
        registered, signed_in = await emitted(gateway.db)
        assert isinstance(registered, AccountRegistered)
        assert isinstance(signed_in, AccountSignedIn)
        assert registered.account_id == signed_in.account_id == made["account_id"]

    async def test_an_address_in_use_is_one_clear_line(self, run):
        await run("accounts", "create", "--email", "ada@example.com")
        code, output, errors = await run("accounts", "create", "--email", "ada@example.com")

        assert (code, output) == (1, "")
        assert errors == "there is an account with the e-mail ada@example.com already\n"

    async def test_a_further_key_works(self, run, open_account, http):
        account_id, _ = await open_account()
        code, output, _ = await run("keys", "create", "--account", account_id, "--name", "ci")

        assert code == 0
        key = json.loads(output)["api_key"]
        assert (await http.get("/v1/me", headers={"Authorization": f"Bearer {key}"})).status_code == 200

    async def test_keys_are_listed_without_their_secrets_and_revoked_by_id(self, run, open_account, http):
        account_id, secret = await open_account()
        made = await http.post("/v1/api-keys", json={"name": "ci"}, headers={"Authorization": f"Bearer {secret}"})

        _, listed, _ = await run("keys", "list", "--account", account_id)
        ci, first = [json.loads(line) for line in listed.splitlines()]
        code, output, _ = await run("keys", "revoke", first["id"], "--descendants")

        assert (ci["name"], ci["made_by"], first["name"]) == ("ci", first["id"], "test")
        assert secret not in listed
        assert made.json()["key"] not in listed
        assert code == 0
        assert sorted(output.split()) == sorted([ci["id"], first["id"]])
        _, listed, _ = await run("keys", "list", "--account", account_id)
        assert all(json.loads(line)["revoked_at"] for line in listed.splitlines())

    async def test_an_unknown_key_is_one_clear_line(self, run):
        key_id = new_id("key")
        code, output, errors = await run("keys", "revoke", key_id)

        assert (code, output) == (1, "")
        assert errors == f"there is no API key {key_id}; `keys list` shows those of an account\n"

    async def test_a_sign_in_link_leads_in_once(self, gateway, run, open_account):
        account_id, _ = await open_account()
        code, output, _ = await run("sign-in-link", "--account", account_id)

        assert code == 0
        base, _, ticket = output.strip().rpartition("/")
        assert base == "http://gateway.test/enter"
        async with gateway.db.write() as session:
            assert await redeem_ticket(session, ticket=ticket, lifetime=LIFETIME)

    @pytest.mark.parametrize("command", [("keys", "create", "--name", "a"), ("keys", "list"), ("sign-in-link",)])
    async def test_an_unknown_account_is_one_clear_line(self, run, command):
        code, output, errors = await run(*command, "--account", new_id("acc"))

        assert (code, output) == (1, "")
        assert "there is no account acc_" in errors
        assert errors.count("\n") == 1


class TestRetention:
    async def test_old_journals_and_what_has_ended_are_forgotten(self, gateway, customer, order, make, rows_of):
        job = (await customer.http.post("/v1/jobs", json=order)).json()
        await gateway.edge.handle(records(*make.journey(customer.account_id, job["id"])))
        async with gateway.db.write() as session:
            await create_ticket(session, account_id=customer.account_id, lifetime=timedelta(seconds=-1))

        retention = Retention(gateway.db, RULES)
        await retention.sweep(datetime.now(UTC))
        assert len(await rows_of("job_events")) == 6
        assert await rows_of("tickets") == []

        await retention.sweep(datetime.now(UTC) + KEEP_JOURNAL + timedelta(seconds=1))
        assert await rows_of("job_events") == []
        async with gateway.db.write() as session:  # the invariants do not expect journals of recent jobs to be gone
            await session.execute(gateway.metadata.tables["jobs"].delete())
