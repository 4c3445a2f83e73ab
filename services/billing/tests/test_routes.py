"""What customers see of their money, and everyone of the prices."""

from sqlalchemy import text

from billing.clawbacks import adjust
from kit import testing
from kit.pagination import encode_cursor
from kit.testing import records
from shared.failures import FailureClass
from shared.ids import new_id


class TestCredits:
    async def test_the_wallet_shows_what_is_available_and_held(self, billing, make, account_id):
        await billing.edge.handle(records(make.requested(account_id)))

        async with testing.client(billing, account_id=account_id) as http:
            answer = await http.get("/v1/credits")

        assert answer.status_code == 200
        assert answer.json() == {
            "available": 46_000,
            "held": 4_000,
            "debt": 0,
            "unit": "millicredits",
            "version": 2,
            "next_expiry": None,
            "negative": False,
            "plan": None,
            "is_subscriber": False,
            "subscription_expires_at": None,
        }

    async def test_a_balance_below_zero_says_so(self, billing, make, account_id):
        await billing.edge.handle(records(make.registered(account_id)))
        async with billing.db.write() as session:
            await adjust(session, account_id=account_id, key="k", amount=-50_001, reason="paid twice")

        async with testing.client(billing, account_id=account_id) as http:
            shown = (await http.get("/v1/credits")).json()

        assert (shown["available"], shown["debt"], shown["negative"]) == (-1, 1, True)

    async def test_an_account_that_is_not_known_yet_shows_the_bonus_it_will_get(self, billing, account_id):
        async with testing.client(billing, account_id=account_id) as http:
            answer = await http.get("/v1/credits")

        assert (answer.json()["available"], answer.json()["version"]) == (50_000, 0)

    async def test_the_next_expiry_is_shown_and_expired_credits_are_not_available(self, billing, make, account_id):
        await billing.edge.handle(records(make.registered(account_id)))
        for moment, available, amount in (("now() + interval '1 day'", 50_000, 50_000), ("now()", 0, None)):
            async with billing.db.write() as session:
                await session.execute(text(f"UPDATE grants SET expires_at = {moment}"))
            async with testing.client(billing, account_id=account_id) as http:
                shown = (await http.get("/v1/credits")).json()

            assert shown["available"] == available
            assert (shown["next_expiry"] or {}).get("amount") == amount

    async def test_strangers_are_turned_away(self, billing):
        async with testing.client(billing) as http:
            for path in ("/v1/credits", "/v1/credits/transactions"):
                answer = await http.get(path)

                assert answer.status_code == 401
                assert answer.json()["code"] == "unauthenticated"


class TestTransactions:
    async def test_they_come_newest_first_with_lines_that_sum_to_zero(self, billing, make, account_id):
        job = make.requested(account_id, input={"n": 2})
        await billing.edge.handle(records(job, make.succeeded(job, make.delivered(0, 4_000))))

        async with testing.client(billing, account_id=account_id) as http:
            body = (await http.get("/v1/credits/transactions")).json()

        assert [row["kind"] for row in body["data"]] == ["settle", "hold", "grant"]
        assert [(row["available_after"], row["held_after"]) for row in body["data"]] == [
            (46_000, 0),
            (42_000, 8_000),
            (50_000, 0),
        ]
        assert [row["wallet_version"] for row in body["data"]] == [3, 2, 1]
        assert all(sum(entry["amount"] for entry in row["entries"]) == 0 for row in body["data"])
        assert [entry["account"] for entry in body["data"][0]["entries"]] == [
            "customer.held",
            "platform.earned",
            "customer.available",
        ]
        assert body["next_cursor"] is None

    async def test_pages_follow_each_other_while_rows_are_added(self, billing, make, account_id):
        await billing.edge.handle(records(*(make.requested(account_id) for _ in range(4))))

        seen = []
        async with testing.client(billing, account_id=account_id) as http:
            cursor = None
            while True:
                query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
                body = (await http.get("/v1/credits/transactions", params=query)).json()
                seen += [row["wallet_version"] for row in body["data"]]
                await billing.edge.handle(records(make.requested(account_id)))
                if not (cursor := body["next_cursor"]):
                    break

        assert seen == [5, 4, 3, 2, 1]

    async def test_filters_by_job_and_kind(self, billing, make, account_id):
        job = make.requested(account_id)
        await billing.edge.handle(records(make.requested(account_id), job, make.succeeded(job)))

        async with testing.client(billing, account_id=account_id) as http:
            of_job = (await http.get("/v1/credits/transactions", params={"job_id": job.job_id})).json()
            holds = (await http.get("/v1/credits/transactions", params={"kind": "hold"})).json()
            both = (await http.get("/v1/credits/transactions", params={"kind": "hold", "job_id": job.job_id})).json()

        assert [(row["kind"], row["job_id"]) for row in of_job["data"]] == [
            ("settle", job.job_id),
            ("hold", job.job_id),
        ]
        assert [row["kind"] for row in holds["data"]] == ["hold", "hold"]
        assert [row["job_id"] for row in both["data"]] == [job.job_id]

    async def test_another_accounts_job_is_not_shown(self, billing, make, account_id):
        foreign = make.requested(new_id("acc"))
        await billing.edge.handle(records(foreign, make.requested(account_id)))

        async with testing.client(billing, account_id=account_id) as http:
            body = (await http.get("/v1/credits/transactions", params={"job_id": foreign.job_id})).json()

        assert body["data"] == []

    async def test_bad_queries_are_told(self, billing, account_id):
        bad = (
            {"cursor": "nonsense"},
            {"cursor": "WyJhIl0"},
            {"cursor": encode_cursor(10**30)},
            {"limit": 0},
            {"job_id": "acc_1"},
            {"kind": "theft"},
        )
        async with testing.client(billing, account_id=account_id) as http:
            for query in bad:
                answer = await http.get("/v1/credits/transactions", params=query)

                assert answer.status_code == 422, query
                assert answer.headers["content-type"] == "application/problem+json"


class TestPrices:
    async def test_prices_and_refund_rules_are_public(self, billing):
        async with testing.client(billing) as http:
            body = (await http.get("/v1/prices")).json()

        assert {"size": "1024x1024", "quality": "standard", "price": 4_000} in body["prices"]["image"]
        assert len(body["prices"]["image"]) == 6
        assert {rule["outcome"] for rule in body["refunds"]} == {*FailureClass, "delivered"}
        assert body["version"] in body["versions"]

    async def test_an_unknown_version_is_told_with_those_that_exist(self, billing):
        async with testing.client(billing) as http:
            answer = await http.get("/v1/prices", params={"version": "1999-01-01"})

        assert answer.status_code == 404
        assert answer.json()["code"] == "unknown_price_version"
        assert answer.json()["versions"]
