"""How much one account may ask for, and one address of which nothing is known."""

import asyncio

import pytest

from gateway.keys import create_key


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


async def at_once(requests):
    """Answers to requests that leave no time for a bucket to fill again."""
    return await asyncio.gather(*requests)


class TestStrangers:
    """Who is not known is limited by address, before anything is looked up."""

    @pytest.fixture
    def overrides(self):
        return {"address_rate_limit": 1, "address_rate_burst": 3, "trusted_proxies": "127.0.0.1"}

    def wrong_key(self, number):
        return bearer(f"atl_abcdefgh_{number:043d}")

    async def test_wrong_keys_are_soon_not_looked_up_any_more(self, http):
        answers = await at_once(http.get("/v1/me", headers=self.wrong_key(number)) for number in range(4))

        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert answers[3].json()["code"] == "rate_limited"
        assert int(answers[3].headers["Retry-After"]) >= 1

    @pytest.mark.parametrize("path", ["/", "/jobs", "/credits", "/enter/abc", "/openapi.json", "/docs", "/v1/prices"])
    async def test_what_is_open_to_all_is_limited(self, http, path):
        answers = await at_once(http.get(path) for _ in range(4))

        assert answers[0].status_code != 429
        assert answers[3].status_code == 429

    async def test_guessing_keys_on_the_page_is_limited(self, browser):
        answers = await at_once(browser.post("/enter", data={"api_key": "atl_x"}) for _ in range(4))

        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert "try again in" in answers[3].text

    async def test_who_is_known_is_not_slowed_by_others_at_the_same_address(self, customer):
        assert (await customer.http.get("/v1/me")).status_code == 200

        *strangers, known = await at_once(
            customer.http.get("/v1/me", headers=headers)
            for headers in [*(self.wrong_key(number) for number in range(4)), bearer(customer.key)]
        )

        assert strangers[3].status_code == 429
        assert known.status_code == 200

    async def test_a_product_may_use_any_number_of_valid_keys_from_one_address(self, gateway, customer):
        async with gateway.db.write() as session:
            keys = [await create_key(session, account_id=customer.account_id, name=f"{n}") for n in range(6)]

        for key in keys:
            assert (await customer.http.get("/v1/me", headers=bearer(key.secret))).status_code == 200

    async def test_behind_a_proxy_every_client_has_an_address_of_its_own(self, http):
        first, second = ({"X-Forwarded-For": f"203.0.113.{number}"} for number in (1, 2))

        answers = await at_once(http.get("/docs", headers=headers) for headers in [first] * 4 + [second])

        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 200]

    async def test_an_ipv6_network_is_one_client(self, http):
        addresses = [f"2001:db8:1:2::{number}" for number in range(4)]

        answers = await at_once(http.get("/docs", headers={"X-Forwarded-For": address}) for address in addresses)

        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]


class TestUntrustedProxies:
    @pytest.fixture
    def overrides(self):
        return {"address_rate_limit": 1, "address_rate_burst": 1, "trusted_proxies": "10.0.0.0/8"}

    async def test_a_client_cannot_invent_its_address(self, http):
        answers = await at_once(
            http.get("/docs", headers={"X-Forwarded-For": f"203.0.113.{number}"}) for number in (1, 2)
        )

        assert [answer.status_code for answer in answers] == [200, 429]


class TestManyKeys:
    @pytest.fixture
    def overrides(self):
        return {"max_keys": 2}

    async def test_an_account_has_no_more_keys_than_it_may(self, customer):
        made = await customer.http.post("/v1/api-keys", json={"name": "second"})
        third = await customer.http.post("/v1/api-keys", json={"name": "third"})

        assert (made.status_code, third.status_code, third.json()["code"]) == (201, 409, "too_many_api_keys")

    async def test_one_that_has_ended_makes_room(self, customer):
        made = await customer.http.post("/v1/api-keys", json={"name": "second"})
        await customer.http.delete(f"/v1/api-keys/{made.json()['id']}")

        assert (await customer.http.post("/v1/api-keys", json={"name": "third"})).status_code == 201


class TestRateLimits:
    @pytest.fixture
    def overrides(self):
        return {"rate_limit": 1, "rate_burst": 3}

    async def test_a_caller_in_haste_is_told_when_to_come_back(self, customer):
        answers = [await customer.http.get("/v1/me") for _ in range(4)]

        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
        assert answers[3].json()["code"] == "rate_limited"
        assert int(answers[3].headers["Retry-After"]) >= 1

    async def test_a_further_key_is_no_further_limit(self, gateway, customer):
        async with gateway.db.write() as session:
            other = await create_key(session, account_id=customer.account_id, name="other")

        answers = await at_once(
            customer.http.get("/v1/me", headers=bearer(key)) for key in [customer.key] * 3 + [other.secret]
        )

        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 429]

    async def test_signing_in_counts_as_well(self, customer, rows_of):
        page = {"Origin": "http://gateway.test"}
        answers = await at_once(
            customer.http.post("/enter", data={"api_key": customer.key}, headers=page) for _ in range(4)
        )

        assert sorted(answer.status_code for answer in answers) == [303, 303, 303, 429]
        assert len(await rows_of("browser_sessions")) == 3

    async def test_one_caller_does_not_slow_another(self, customer, open_account):
        _, key = await open_account()
        for _ in range(4):
            await customer.http.get("/v1/me")

        assert (await customer.http.get("/v1/me", headers=bearer(key))).status_code == 200
