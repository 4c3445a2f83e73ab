"""What pages cost the database: browsers take turns at its places, and somebody without a cookie needs none."""

import asyncio
from contextlib import AsyncExitStack

import httpx2
import pytest

from gateway.sessions import COOKIE, create_session, create_ticket
from kit.testing import eventually

from .conftest import LIFETIME

POOL_SIZE = 2
PLACES = 3
CROWD = 6
PAGES = ("/", "/jobs", "/jobs/job_01KBHW3XJ0E4RAB1Q6TZZZ9V5C", "/credits")


@pytest.fixture
def overrides():
    return {"database_pool_size": POOL_SIZE}


@pytest.fixture
def names(gateway, monkeypatch):
    """In whose name places are asked for."""
    place, asked = gateway.db.place, []

    def note(of=""):
        asked.append(of)
        return place(of)

    monkeypatch.setattr(gateway.db, "place", note)
    return asked


@pytest.fixture
def sign_in(gateway, browser, open_account):
    """Makes a browser of somebody who has just signed in."""

    async def open_browser():
        account_id, _ = await open_account()
        async with gateway.db.write() as session:
            token = await create_session(session, account_id=account_id, lifetime=LIFETIME)
        return httpx2.AsyncClient(
            transport=browser._transport, base_url=browser.base_url, headers=browser.headers, cookies={COOKIE: token}
        )

    return open_browser


class TestStrangers:
    @pytest.mark.parametrize("path", PAGES)
    async def test_a_page_is_theirs_without_a_place(self, gateway, browser, path):
        async with AsyncExitStack() as places, asyncio.timeout(5):
            for _ in range(PLACES):
                await places.enter_async_context(gateway.db.place(of="another"))

            page = await browser.get(path)

        assert page.status_code == 200
        assert 'name="api_key"' in page.text

    @pytest.mark.parametrize("path", ["/enter", "/sign-out"])
    async def test_what_leads_nowhere_costs_nothing(self, gateway, browser, path, names):
        answer = await browser.post(path, data={"api_key": "atl_nonsense"})

        assert answer.status_code in {303, 401}
        assert names == []


class TestTurns:
    @pytest.mark.parametrize("path", PAGES)
    async def test_a_crowd_of_one_browser_keeps_nobody_else_waiting(self, gateway, sign_in, names, path):
        crowd, another = await sign_in(), await sign_in()
        served = []

        async def look(who):
            await who.get(path)
            served.append(who)

        async with gateway.db.place(of="one"), gateway.db.place(of="two"):
            async with gateway.db.place(of="three"):
                asked = [asyncio.create_task(look(who)) for who in [crowd] * CROWD + [another]]
                await eventually(lambda: len(names) == PLACES + CROWD + 1)
            await asyncio.gather(*asked)

        assert served.index(another) == 1

    async def test_coming_in_and_leaving_take_turns_too(self, gateway, browser, open_account, names):
        account_id, key = await open_account()
        async with gateway.db.write() as session:
            ticket = await create_ticket(session, account_id=account_id, lifetime=LIFETIME)

        assert (await browser.post("/enter", data={"api_key": key})).status_code == 303
        assert (await browser.post("/sign-out")).status_code == 303
        assert (await browser.get(f"/enter/{ticket}")).status_code == 303

        assert len(names) == 4  # a key is looked up first
        assert names[1] == account_id
        assert len(set(names)) == 4
        assert "" not in names
