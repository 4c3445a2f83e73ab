"""Who may call: API keys, browser sessions, scopes."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from gateway.accounts import SIGN_INS_TOLD_EVERY, register
from gateway.errors import EmailInUseError
from gateway.keys import create_key, digest
from gateway.models import accounts, api_keys, browser_sessions
from gateway.sessions import COOKIE, create_session, create_ticket, end_session, redeem_ticket, signed_in
from kit.testing import emitted
from shared.events import AccountRegistered, AccountSignedIn
from shared.ids import new_id

from .conftest import LIFETIME


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


class TestAccounts:
    async def test_a_new_account_is_told(self, gateway):
        async with gateway.db.write() as session:
            account = await register(session, email=" Ada@Example.com ")

        (event,) = await emitted(gateway.db)
        assert isinstance(event, AccountRegistered)
        assert (event.account_id, event.email) == (account.id, "ada@example.com")

    async def test_an_address_has_one_account(self, gateway):
        async with gateway.db.write() as session:
            await register(session, email="ada@example.com")

        with pytest.raises(EmailInUseError):
            async with gateway.db.write() as session:
                await register(session, email="ADA@example.com")


class TestApiKeys:
    async def test_a_new_key_is_shown_once_and_works(self, customer, rows_of):
        made = await customer.http.post("/v1/api-keys", json={"name": "ci"})

        assert made.status_code == 201
        key = made.json()["key"]
        assert key.startswith(made.json()["prefix"])
        assert key.endswith(made.json()["last4"])
        me = await customer.http.get("/v1/me", headers=bearer(key))
        assert (me.json()["account_id"], me.json()["actor"]) == (customer.account_id, made.json()["id"])
        listed = (await customer.http.get("/v1/api-keys")).json()["data"]
        assert [entry["name"] for entry in listed] == ["ci", "test"]
        assert all("key" not in entry for entry in listed)
        assert not any(key.encode() in repr(row).encode() for row in await rows_of("api_keys"))

    async def test_a_revoked_key_ends_at_once(self, customer):
        made = (await customer.http.post("/v1/api-keys", json={"name": "ci"})).json()
        assert (await customer.http.get("/v1/me", headers=bearer(made["key"]))).status_code == 200

        ended = [await customer.http.delete(f"/v1/api-keys/{made['id']}") for _ in range(2)]

        assert [answer.status_code for answer in ended] == [204, 204]
        assert (await customer.http.get("/v1/me", headers=bearer(made["key"]))).status_code == 401

    async def test_an_expired_key_is_none(self, gateway, customer):
        async with gateway.db.write() as session:
            past = datetime.now(UTC) - timedelta(seconds=1)
            key = await create_key(session, account_id=customer.account_id, name="old", expires_at=past)

        assert (await customer.http.get("/v1/me", headers=bearer(key.secret))).status_code == 401

    async def test_a_foreign_key_cannot_be_revoked(self, customer, open_account, rows_of):
        other, _ = await open_account()
        (row,) = await rows_of("api_keys", account_id=other)

        answer = await customer.http.delete(f"/v1/api-keys/{row['id']}")

        assert (answer.status_code, answer.json()["code"]) == (404, "api_key_not_found")
        assert (await rows_of("api_keys", account_id=other))[0]["revoked_at"] is None

    @pytest.mark.parametrize(
        "authorization", [None, "Bearer", "Bearer atl_x_y", "Bearer atl_abcdefgh_" + "x" * 43, "Basic YTpi"]
    )
    async def test_without_a_valid_key_nobody_gets_in(self, http, authorization):
        answer = await http.get("/v1/jobs", headers={"Authorization": authorization} if authorization else {})

        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    async def test_the_right_prefix_with_another_secret_is_refused(self, customer):
        forged = customer.key[:-1] + ("a" if customer.key[-1] != "a" else "b")

        assert (await customer.http.get("/v1/me", headers=bearer(forged))).status_code == 401

    async def test_a_key_that_may_only_read_cannot_write(self, customer, order):
        made = (await customer.http.post("/v1/api-keys", json={"name": "viewer", "scopes": ["read"]})).json()

        assert (await customer.http.get("/v1/jobs", headers=bearer(made["key"]))).status_code == 200
        answer = await customer.http.post("/v1/jobs", json=order, headers=bearer(made["key"]))
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")

    @pytest.mark.parametrize(
        "body", [{}, {"name": ""}, {"name": "a\x00"}, {"name": "a", "scopes": []}, {"name": "a", "scopes": ["root"]}]
    )
    async def test_a_key_needs_a_name_and_known_scopes(self, customer, body):
        assert (await customer.http.post("/v1/api-keys", json=body)).status_code == 422


class TestKeysOfKeys:
    """What a key makes is never worth more than the key itself."""

    @pytest.fixture
    def key_of(self, gateway, customer):
        async def make(**limits):
            async with gateway.db.write() as session:
                return await create_key(session, account_id=customer.account_id, name="maker", **limits)

        return make

    async def test_a_key_has_no_scope_that_its_maker_lacks(self, customer, key_of):
        maker = await key_of(scopes=["write", "manage"])

        made = await customer.http.post("/v1/api-keys", json={"name": "a"}, headers=bearer(maker.secret))
        refused = await customer.http.post(
            "/v1/api-keys", json={"name": "b", "scopes": ["read"]}, headers=bearer(maker.secret)
        )

        assert made.json()["scopes"] == ["write"]
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")

    @pytest.mark.parametrize("days", [None, 365])
    async def test_a_key_ends_with_its_maker_at_the_latest(self, customer, key_of, days):
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        maker = await key_of(expires_at=tomorrow)

        made = await customer.http.post(
            "/v1/api-keys", json={"name": "a", "expires_in_days": days}, headers=bearer(maker.secret)
        )

        assert datetime.fromisoformat(made.json()["expires_at"]) == tomorrow

    async def test_a_key_tells_its_maker_and_can_end_with_it(self, customer, key_of):
        first, apart = await key_of(), await key_of()
        secrets, maker = [first.secret], first.secret
        for name in ("child", "grandchild"):
            wanted = {"name": name, "scopes": ["read", "manage"]}
            made = (await customer.http.post("/v1/api-keys", json=wanted, headers=bearer(maker))).json()
            secrets.append(maker := made["key"])
        for secret in secrets:
            assert (await customer.http.get("/v1/me", headers=bearer(secret))).status_code == 200

        listed = {key["name"]: key for key in (await customer.http.get("/v1/api-keys")).json()["data"]}
        ended = await customer.http.delete(f"/v1/api-keys/{first.row.id}", params={"descendants": True})

        assert listed["child"]["made_by"] == first.row.id
        assert listed["grandchild"]["made_by"] == listed["child"]["id"]
        assert ended.status_code == 204
        for secret in secrets:
            assert (await customer.http.get("/v1/me", headers=bearer(secret))).status_code == 401
        assert (await customer.http.get("/v1/me", headers=bearer(apart.secret))).status_code == 200

    async def test_a_key_can_be_replaced_by_one_that_it_made(self, customer, key_of):
        old = await key_of()
        wanted = {"name": "new", "scopes": ["read", "write", "manage"]}
        new = (await customer.http.post("/v1/api-keys", json=wanted, headers=bearer(old.secret))).json()["key"]

        await customer.http.delete(f"/v1/api-keys/{old.row.id}", headers=bearer(new))

        assert (await customer.http.get("/v1/me", headers=bearer(old.secret))).status_code == 401
        assert (await customer.http.get("/v1/me", headers=bearer(new))).status_code == 200


class TestSessionsOfKeys:
    """A browser that came in by a key may do what the key may, for as long as the key may."""

    @pytest.fixture
    def enter(self, browser, account_id):
        async def come_in(secret):
            browser.headers.pop("Authorization", None)
            return await browser.post("/enter", data={"api_key": secret})

        return come_in

    @pytest.fixture
    async def account_id(self, open_account):
        return (await open_account())[0]

    @pytest.fixture
    def key_of(self, gateway, account_id):
        async def make(**limits):
            async with gateway.db.write() as session:
                return await create_key(session, account_id=account_id, name="door", **limits)

        return make

    async def test_a_revoked_key_ends_its_sessions_at_once(self, browser, enter, key_of):
        key = await key_of()
        await enter(key.secret)
        assert (await browser.get("/v1/me")).status_code == 200

        assert (await browser.delete(f"/v1/api-keys/{key.row.id}")).status_code == 204

        assert (await browser.get("/v1/me")).status_code == 401
        for page in ("/", "/credits", f"/jobs/{new_id('job')}"):
            assert 'name="api_key"' in (await browser.get(page)).text

    async def test_an_expired_key_ends_its_sessions(self, gateway, browser, enter, key_of):
        key = await key_of(expires_at=datetime.now(UTC) + timedelta(days=1))
        await enter(key.secret)
        async with gateway.db.write() as session:
            past = datetime.now(UTC) - timedelta(seconds=1)
            await session.execute(update(api_keys).where(api_keys.c.id == key.row.id).values(expires_at=past))

        assert (await browser.get("/v1/me")).status_code == 401

    @pytest.mark.parametrize("scopes", [["read"], ["write"]])
    async def test_a_key_that_may_not_both_read_and_write_does_not_enter(self, browser, enter, key_of, scopes):
        answer = await enter((await key_of(scopes=scopes)).secret)

        assert answer.status_code == 403
        assert COOKIE not in browser.cookies

    async def test_a_key_made_on_the_page_is_the_work_of_the_key_behind_it(self, browser, enter, key_of):
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        key = await key_of(expires_at=tomorrow)
        await enter(key.secret)

        made = (await browser.post("/v1/api-keys", json={"name": "a"})).json()

        assert made["made_by"] == key.row.id
        assert datetime.fromisoformat(made["expires_at"]) == tomorrow

    async def test_a_job_asked_for_on_the_page_counts_for_the_key_behind_it(
        self, gateway, browser, enter, key_of, order
    ):
        key = await key_of()
        await enter(key.secret)

        await browser.post("/v1/jobs", json=order)

        assert (await emitted(gateway.db))[-1].api_key_id == key.row.id

    async def test_a_link_gives_every_scope_and_stands_by_itself(self, gateway, browser, account_id, enter, key_of):
        async with gateway.db.write() as session:
            ticket = await create_ticket(session, account_id=account_id, lifetime=LIFETIME)
        await browser.get(f"/enter/{ticket}")

        made = (await browser.post("/v1/api-keys", json={"name": "a"})).json()

        assert (await browser.get("/v1/me")).json()["scopes"] == ["manage", "read", "write"]
        assert (made["made_by"], made["expires_at"], made["scopes"]) == (None, None, ["read", "write"])


class TestSessions:
    @pytest.fixture
    async def account_id(self, open_account):
        return (await open_account())[0]

    async def sign_in(self, gateway, account_id):
        async with gateway.db.write() as session:
            ticket = await create_ticket(session, account_id=account_id, lifetime=LIFETIME)
        async with gateway.db.write() as session:
            token = await redeem_ticket(session, ticket=ticket, lifetime=LIFETIME)
        assert token is not None
        return ticket, token

    async def test_a_ticket_signs_in_once(self, gateway, account_id):
        ticket, token = await self.sign_in(gateway, account_id)

        async with gateway.db.write() as session:
            browser = await signed_in(session, token=token)
            assert browser is not None
            assert browser.account.id == account_id
            assert await redeem_ticket(session, ticket=ticket, lifetime=LIFETIME) is None
            assert await redeem_ticket(session, ticket="made up", lifetime=LIFETIME) is None

    async def test_an_old_ticket_is_none(self, gateway, account_id):
        async with gateway.db.write() as session:
            ticket = await create_ticket(session, account_id=account_id, lifetime=timedelta(seconds=-1))
        async with gateway.db.write() as session:
            assert await redeem_ticket(session, ticket=ticket, lifetime=LIFETIME) is None

    async def test_tokens_are_kept_as_hashes(self, gateway, account_id, rows_of):
        ticket, token = await self.sign_in(gateway, account_id)

        assert [row["hash"] for row in await rows_of("tickets")] == [digest(ticket)]
        assert [row["hash"] for row in await rows_of("browser_sessions")] == [digest(token)]

    async def test_a_cookie_reads_and_changes_only_from_our_own_page(self, gateway, http, account_id, order):
        _, token = await self.sign_in(gateway, account_id)
        http.cookies.set(COOKIE, token)

        assert (await http.get("/v1/me")).json()["account_id"] == account_id
        for origin in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            answer = await http.post("/v1/jobs", json=order, headers=origin)
            assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")
        own = await http.post("/v1/jobs", json=order, headers={"Origin": "http://gateway.test"})
        assert own.status_code == 202

    @pytest.mark.parametrize("ending", ["signed out", "expired"])
    async def test_a_session_that_has_ended_is_none(self, gateway, http, account_id, ending):
        _, token = await self.sign_in(gateway, account_id)
        async with gateway.db.write() as session:
            if ending == "signed out":
                await end_session(session, token=token)
            else:
                past = datetime.now(UTC) - timedelta(seconds=1)
                await session.execute(update(browser_sessions).values(expires_at=past))

        http.cookies.set(COOKIE, token)
        assert (await http.get("/v1/me")).status_code == 401

    async def test_a_key_counts_more_than_a_cookie(self, gateway, customer, open_account):
        other, _ = await open_account()
        _, token = await self.sign_in(gateway, other)
        customer.http.cookies.set(COOKIE, token)

        assert (await customer.http.get("/v1/me")).json()["account_id"] == customer.account_id


class TestSigningIn:
    """Who signs in is told, in the transaction that opens the session."""

    @pytest.fixture
    def sign_ins(self, gateway):
        async def told():
            return [event for event in await emitted(gateway.db) if isinstance(event, AccountSignedIn)]

        return told

    async def test_a_link_signs_in_and_is_told_once(self, gateway, customer, sign_ins):
        async with gateway.db.write() as session:
            ticket = await create_ticket(session, account_id=customer.account_id, lifetime=LIFETIME)
        assert await sign_ins() == []

        for _ in range(2):
            await customer.http.get(f"/enter/{ticket}")

        (event,) = await sign_ins()
        assert event.account_id == customer.account_id
        assert abs(datetime.now(UTC) - event.signed_in_at) < timedelta(minutes=1)

    async def test_a_key_on_the_page_signs_in(self, customer, sign_ins):
        await customer.http.post("/enter", data={"api_key": customer.key}, headers={"Origin": "http://gateway.test"})

        assert [event.account_id for event in await sign_ins()] == [customer.account_id]

    async def test_signing_in_again_and_again_is_told_once_an_hour(self, gateway, customer, sign_ins):
        async def sign_in():
            async with gateway.db.write() as session:
                await create_session(session, account_id=customer.account_id, lifetime=LIFETIME)

        for _ in range(3):
            await sign_in()
        assert len(await sign_ins()) == 1

        async with gateway.db.write() as session:
            await session.execute(update(accounts).values(sign_in_told_at=func.now() - SIGN_INS_TOLD_EVERY))
        for _ in range(2):
            await sign_in()
        assert len(await sign_ins()) == 2

    async def test_neither_a_wrong_key_nor_a_request_by_api_key_signs_in(self, customer, sign_ins):
        await customer.http.post("/enter", data={"api_key": "atl_x"}, headers={"Origin": "http://gateway.test"})
        await customer.http.get("/v1/me")

        assert await sign_ins() == []

    async def test_a_session_that_was_not_opened_is_not_told(self, gateway, customer, sign_ins):
        async def open_and_break_off():
            async with gateway.db.write() as session:
                await create_session(session, account_id=customer.account_id, lifetime=LIFETIME)
                raise ConnectionAbortedError

        with pytest.raises(ConnectionAbortedError):
            await open_and_break_off()

        assert await sign_ins() == []


class TestMemory:
    @pytest.fixture
    def overrides(self):
        return {"auth_cache": timedelta(seconds=60)}

    async def test_a_known_key_costs_no_query(self, gateway, customer):
        assert (await customer.http.get("/v1/me")).status_code == 200
        async with gateway.db.write() as session:
            await session.execute(update(api_keys).values(revoked_at=datetime.now(UTC)))
        async with gateway.db.read() as session:
            assert (await session.execute(select(api_keys.c.revoked_at))).scalar_one() is not None

        assert (await customer.http.get("/v1/me")).status_code == 200
