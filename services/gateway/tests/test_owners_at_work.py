"""Owners that are slow, and callers that are: neither keeps others away."""

import asyncio

import httpx2
import pytest

from gateway import owners, passthrough
from kit import metrics
from kit.testing import eventually

from .owner import Owner


@pytest.fixture
async def billing(serve):
    billing = Owner("billing")
    async with serve(billing.app) as billing.url:
        yield billing


@pytest.fixture
def overrides(owner, billing):
    return {"storage_url": owner.url, "billing_url": billing.url}


class TestManyAtOnce:
    """Whoever asks an owner for much at a time leaves connections to others."""

    @pytest.fixture
    def overrides(self, overrides, monkeypatch):
        """Three places, of which one caller may have two."""
        monkeypatch.setattr(owners, "LIMITS", httpx2.Limits(max_connections=4))
        monkeypatch.setattr(passthrough, "PATIENCE_SECONDS", 0.2)
        return overrides

    async def test_an_account_leaves_others_a_connection_and_is_told_when_its_own_do_not_come_free(
        self, customer, owner, open_account
    ):
        asked = [asyncio.create_task(customer.http.get("/v1/assets/slow")) for _ in range(2)]
        await eventually(lambda: len(owner.requests) == 2)

        _, key = await open_account()
        refused = await customer.http.get("/v1/assets")
        foreign = await customer.http.get("/v1/assets", headers={"Authorization": f"Bearer {key}"})
        another = await customer.http.get("/v1/credits")

        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_open_requests")
        assert refused.json()["service"] == "storage"
        assert int(refused.headers["Retry-After"]) > 0
        assert foreign.status_code == another.status_code == 200
        owner.go.set()
        assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200, 200]
        assert (await customer.http.get("/v1/assets")).status_code == 200

    async def test_without_credentials_an_address_is_the_caller(self, http, billing):
        asked = [asyncio.create_task(http.get("/v1/prices/slow")) for _ in range(2)]
        await eventually(lambda: len(billing.requests) == 2)

        refused = await http.get("/v1/prices")

        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_open_requests")
        billing.go.set()
        assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200, 200]

    async def test_an_answer_counts_until_it_has_come_or_nobody_waits_for_it(self, live, owner):
        async def status():
            return (await live.http.get("/v1/assets")).status_code

        long = "/v1/assets/long"
        async with live.http.stream("GET", long), live.http.stream("GET", long):
            while_they_come = await status()

        async def is_let_in():
            return await status() == 200

        assert while_they_come == 429
        await eventually(is_let_in)


class SlowBody:
    """A body whose end comes when it is let go."""

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def __aiter__(self):
        self.asked.set()
        yield b"x"
        await self.go.wait()
        yield b"x"


class TestSlowBodies:
    @pytest.fixture
    def overrides(self, overrides, monkeypatch):
        """Few connections of either pool, so that a test can use them up."""
        monkeypatch.setattr(owners, "LIMITS", httpx2.Limits(max_connections=1))
        monkeypatch.setattr(owners, "UPLOAD_LIMITS", httpx2.Limits(max_connections=3))
        monkeypatch.setattr(passthrough, "UPLOADS_PER_ACCOUNT", 2)
        return overrides

    @pytest.mark.parametrize("path", ["/v1/uploads", "/v1/assets"])
    async def test_they_hold_nobody_s_connection(self, customer, owner, path):
        slow = [SlowBody(), SlowBody()]
        sending = [asyncio.create_task(customer.http.post(path, content=body)) for body in slow]
        await asyncio.gather(*(body.asked.wait() for body in slow))

        async with asyncio.timeout(10):
            answer = await customer.http.get("/v1/assets")

        assert answer.status_code == 200
        for body in slow:
            body.go.set()
        assert all(answer.is_success for answer in await asyncio.gather(*sending))

    async def test_an_account_has_few_uploads_at_a_time(self, customer, owner, open_account):
        slow, third, stranger = [SlowBody(), SlowBody()], SlowBody(), SlowBody()
        stranger.go.set()
        sending = [asyncio.create_task(customer.http.post("/v1/uploads", content=body)) for body in slow]
        await asyncio.gather(*(body.asked.wait() for body in slow))

        _, key = await open_account()
        refused = await customer.http.post("/v1/uploads", content=third)
        foreign = await customer.http.post("/v1/uploads", content=stranger, headers={"Authorization": f"Bearer {key}"})

        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_uploads")
        assert not third.asked.is_set()
        assert foreign.status_code == 201
        for body in slow:
            body.go.set()
        assert [answer.status_code for answer in await asyncio.gather(*sending)] == [201, 201]
        assert (await customer.http.post("/v1/uploads", content=b"x")).status_code == 201

    async def test_one_that_falls_silent_is_ended(self, customer, owner, monkeypatch):
        monkeypatch.setattr(passthrough, "SILENCE_SECONDS", 0.2)

        answer = await customer.http.post("/v1/uploads", content=SlowBody())

        assert (answer.status_code, answer.json()["code"]) == (408, "upload_stalled")

    async def test_one_whose_sender_goes_away_is_no_error_of_ours(self, live, owner):
        answered = metrics.HTTP_REQUESTS.labels("gateway", "POST", "/v1/uploads", 400, "")._value
        before = answered.get()
        url = live.http.base_url
        _, writer = await asyncio.open_connection(url.host, url.port)
        lines = (
            "POST /v1/uploads HTTP/1.1",
            "Host: a",
            f"Authorization: Bearer {live.key}",
            "Content-Length: 9",
            "",
            "x",
        )
        writer.write("\r\n".join(lines).encode())
        await eventually(lambda: owner.requests)

        writer.close()

        await eventually(lambda: answered.get() > before)
