"""The scope ``manage``: a key that is handed out neither makes keys nor ends them, so that a cap on it holds."""

from importlib.util import module_from_spec, spec_from_file_location

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import select, update

from gateway.keys import create_key
from gateway.models import api_keys
from gateway.sessions import create_session
from kit.tables import idempotency_keys

from .conftest import LIFETIME


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
async def working(customer):
    """A key that was asked for without naming scopes."""
    return (await customer.http.post("/v1/api-keys", json={"name": "handed out"})).json()


class TestManage:
    async def test_a_key_of_a_key_manages_only_if_that_was_asked_for(self, customer, working):
        wanted = {"name": "deputy", "scopes": ["read", "manage"]}
        deputy = (await customer.http.post("/v1/api-keys", json=wanted)).json()

        assert working["scopes"] == ["read", "write"]
        assert deputy["scopes"] == ["manage", "read"]
        made = await customer.http.post("/v1/api-keys", json={"name": "third"}, headers=bearer(deputy["key"]))
        assert made.json()["scopes"] == ["read"]

    async def test_without_it_no_key_is_made_and_none_ends(self, customer, working, rows_of):
        (first, *_) = await rows_of("api_keys")
        http = customer.http
        refused = [
            await http.post("/v1/api-keys", json={"name": "uncapped"}, headers=bearer(working["key"])),
            await http.delete(f"/v1/api-keys/{first['id']}", headers=bearer(working["key"])),
        ]

        assert [(answer.status_code, answer.json()["needed"]) for answer in refused] == [(403, "manage")] * 2
        assert [row["revoked_at"] for row in await rows_of("api_keys")] == [None, None]
        assert (await http.get("/v1/api-keys", headers=bearer(working["key"]))).status_code == 200

    async def test_a_browser_that_came_in_by_such_a_key_manages_nothing_either(self, browser, customer, working):
        browser.headers.pop("Authorization")
        assert (await browser.post("/enter", data={"api_key": working["key"]})).status_code == 303

        answer = await browser.post("/v1/api-keys", json={"name": "uncapped"})

        assert (answer.status_code, answer.json()["needed"]) == (403, "manage")


class TestAskedTwice:
    """The answer to a request for a key may get lost; the key cannot be shown again."""

    async def test_no_second_key_is_made_and_the_first_can_be_ended(self, gateway, customer, rows_of):
        once = {"Idempotency-Key": "deploy-7"}
        first = await customer.http.post("/v1/api-keys", json={"name": "ci"}, headers=once)
        again = await customer.http.post("/v1/api-keys", json={"name": "ci"}, headers=once)
        other = await customer.http.post("/v1/api-keys", json={"name": "other"}, headers=once)

        assert (again.status_code, again.json()["code"]) == (409, "api_key_already_made")
        assert again.json()["api_key_id"] == first.json()["id"]
        assert first.json()["key"] not in again.text
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
        assert len(await rows_of("api_keys")) == 2
        async with gateway.db.read() as session:
            assert (await session.execute(select(idempotency_keys.c.response))).scalars().all() == [
                {"id": first.json()["id"]}
            ]

    async def test_a_request_that_was_refused_uses_up_no_key(self, customer):
        once = {"Idempotency-Key": "deploy-8"}
        await customer.http.post("/v1/api-keys", json={"name": "ci", "scopes": ["root"]}, headers=once)

        assert (await customer.http.post("/v1/api-keys", json={"name": "ci"}, headers=once)).status_code == 201


class TestMigration:
    @pytest.fixture
    def migrate(self, gateway):
        (path,) = gateway.migrations.glob("versions/*_manage_scope.py")
        spec = spec_from_file_location("manage_scope", path)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)

        def run(connection):
            with Operations.context(MigrationContext.configure(connection)):
                module.upgrade()

        async def migrated():
            async with gateway.db.engine.begin() as connection:
                await connection.run_sync(run)

        return migrated

    async def test_who_could_do_everything_is_not_locked_out(self, gateway, open_account, migrate, rows_of):
        account_id, _ = await open_account()
        async with gateway.db.write() as session:
            await session.execute(update(api_keys).values(scopes=["read", "write"]))
            first = (await session.execute(api_keys.select())).one()
            await create_key(session, account_id=account_id, name="viewer", scopes=["read"])
            child = await create_key(
                session, account_id=account_id, name="child", scopes=["read", "write"], made_by=first.id
            )
            for key_id in (None, first.id, child.row.id):
                await create_session(
                    session, account_id=account_id, api_key_id=key_id, scopes=["read", "write"], lifetime=LIFETIME
                )

        await migrate()

        keys = {row["name"]: row["scopes"] for row in await rows_of("api_keys")}
        assert keys == {"test": ["manage", "read", "write"], "viewer": ["read"], "child": ["read", "write"]}
        sessions = {row["api_key_id"]: row["scopes"] for row in await rows_of("browser_sessions")}
        assert sessions == {
            None: ["manage", "read", "write"],
            first.id: ["manage", "read", "write"],
            child.row.id: ["read", "write"],
        }
