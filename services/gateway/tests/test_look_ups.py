"""Looking credentials up: once for all who show the same ones at the same time, and never at the cost of others."""

import asyncio

import pytest
from sqlalchemy import text

from gateway import auth
from gateway.flights import Flights
from gateway.keys import create_key
from gateway.sessions import COOKIE
from kit.testing import eventually

POOL_SIZE = 2
PLACES = 3


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


class LookUps:
    """Counts look-ups, and lets their answers out one by one when it is told to."""

    def __init__(self, find):
        self._find = find
        self.begun = self.found = 0
        self.fault = None
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, session, **which):
        self.begun += 1
        if self.fault is not None:
            raise self.fault
        found = await self._find(session, **which)
        self.found += 1
        await self.go.wait()
        return found


@pytest.fixture
def overrides():
    return {"database_pool_size": POOL_SIZE}


@pytest.fixture
def keys(monkeypatch):
    """The look-ups of keys."""
    monkeypatch.setattr(auth, "find_key", look_ups := LookUps(auth.find_key))
    return look_ups


@pytest.fixture
def sessions(monkeypatch):
    """The look-ups of sessions, as far as they are not a page's own."""
    monkeypatch.setattr(auth, "signed_in", look_ups := LookUps(auth.signed_in))
    return look_ups


async def statuses(*asked):
    return [answer.status_code for answer in await asyncio.gather(*asked)]


class TestTogether:
    async def test_many_requests_of_one_key_are_one_look_up(self, customer, keys):
        assert await statuses(*(customer.http.get("/v1/me") for _ in range(200))) == [200] * 200
        assert keys.begun == 1

    async def test_many_requests_of_one_session_are_one_look_up(self, browser, account, sessions):
        assert await statuses(*(browser.get("/v1/me") for _ in range(200))) == [200] * 200
        assert sessions.begun == 1

    async def test_an_unknown_key_is_looked_up_once_for_all_and_not_remembered(self, customer, keys):
        unknown = bearer("atl_abcdefgh_" + "x" * 43)
        for times in (1, 2):
            assert await statuses(*(customer.http.get("/v1/me", headers=unknown) for _ in range(20))) == [401] * 20
            assert keys.begun == times

    async def test_a_key_shown_as_a_cookie_does_not_answer_for_the_key(self, customer):
        del customer.http.headers["Authorization"]
        shown = [{"Cookie": f"{COOKIE}={customer.key}"}, bearer(customer.key)]

        assert await statuses(*(customer.http.get("/v1/me", headers=headers) for headers in shown)) == [401, 200]

    async def test_a_look_up_that_fails_is_begun_anew(self, customer, keys):
        keys.fault = ConnectionError("away")
        assert await statuses(*(customer.http.get("/v1/me") for _ in range(20))) == [503] * 20
        keys.fault = None

        assert await statuses(customer.http.get("/v1/me")) == [200]
        assert keys.begun == 2


class TestGivingUp:
    @pytest.fixture
    def go(self):
        return asyncio.Event()

    @pytest.fixture
    def asked(self):
        return []

    @pytest.fixture
    def flights(self, go, asked):
        async def ask(about):
            asked.append(about)
            try:
                await go.wait()
            except asyncio.CancelledError:
                asked.append("given up")
                raise
            return about

        return Flights(ask)

    async def asking(self, flights, asked):
        joined = asyncio.Event()

        async def join():
            joined.set()
            return await flights.ask("key")

        task = asyncio.create_task(join())
        await joined.wait()
        await eventually(lambda: asked)
        return task

    async def test_who_goes_away_takes_the_answer_from_nobody(self, flights, go, asked):
        first, second = [await self.asking(flights, asked) for _ in range(2)]
        first.cancel()
        await asyncio.wait({first})
        go.set()

        assert await second == "key"
        assert asked == ["key"]

    async def test_what_was_given_up_once_is_joined_by_nobody(self, flights, go, asked):
        first, second = [await self.asking(flights, asked) for _ in range(2)]
        first.cancel()
        await asyncio.wait({first})
        third = await self.asking(flights, asked)
        await eventually(lambda: len(asked) == 2)
        go.set()

        assert await asyncio.gather(second, third) == ["key", "key"]

    async def test_what_nobody_waits_for_ends(self, flights, go, asked):
        only = await self.asking(flights, asked)
        only.cancel()

        await eventually(lambda: asked == ["key", "given up"])


class TestEnding:
    async def test_what_was_found_before_a_key_ended_counts_for_nobody_after_it(self, customer, keys):
        made = (await customer.http.post("/v1/api-keys", json={"name": "ci"})).json()
        keys.go.clear()
        found = keys.found
        before = asyncio.create_task(customer.http.get("/v1/me", headers=bearer(made["key"])))
        await eventually(lambda: keys.found == found + 1)

        assert (await customer.http.delete(f"/v1/api-keys/{made['id']}")).status_code == 204
        after = asyncio.create_task(customer.http.get("/v1/me", headers=bearer(made["key"])))
        await eventually(lambda: keys.found == found + 2)
        keys.go.set()

        assert (await after).status_code == 401
        assert (await before).status_code == 200
        assert await statuses(customer.http.get("/v1/me", headers=bearer(made["key"]))) == [401]


class TestManyKeys:
    async def test_their_look_ups_leave_connections_to_the_service(self, gateway, customer, keys):
        async with gateway.db.write() as session:
            made = [await create_key(session, account_id=customer.account_id, name=str(number)) for number in range(20)]
        keys.go.clear()
        asked = [asyncio.create_task(customer.http.get("/v1/me", headers=bearer(key.secret))) for key in made]
        await eventually(lambda: keys.found == PLACES)

        async with asyncio.timeout(5), gateway.db.write() as session:
            await session.execute(text("SELECT 1"))

        keys.go.set()
        assert await statuses(*asked) == [200] * len(made)
