"""The log of deliveries over HTTP, as gateway asks for it."""

import pytest
from sqlalchemy import text

from kit.testing import client, eventually, records
from publishing.app import build
from shared.events import DeliverySucceeded
from shared.ids import new_id


class TestRead:
    async def test_the_log_shows_every_attempt(self, publishing, working, journey, receiver, told) -> None:
        receiver.say(500)
        made = journey(receiver.url)
        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            await told()

        async with client(publishing, account_id=made.ended.account_id) as http:
            listed = (await http.get("/v1/deliveries", params={"job_id": made.ended.job_id})).json()
            shown = (await http.get(f"/v1/deliveries/{made.delivery_id}")).json()

        assert [delivery["id"] for delivery in listed["data"]] == [made.delivery_id]
        assert shown["state"] == "succeeded"
        assert shown["url"] == receiver.url
        assert shown["body"].encode() == receiver.received[0].body
        assert [(a["number"], a["outcome"], a["status_code"]) for a in shown["attempts"]] == [
            (1, "failed", 500),
            (2, "succeeded", 204),
        ]
        assert "secret" not in str(shown)

    async def test_another_account_sees_nothing(self, publishing, journey) -> None:
        made = journey("http://127.0.0.1:1/")
        await publishing.edge.handle(records(made.requested))

        async with client(publishing, account_id=new_id("acc")) as http:
            shown = await http.get(f"/v1/deliveries/{made.delivery_id}")
            again = await http.post(f"/v1/deliveries/{made.delivery_id}/redeliver")
            listed = await http.get("/v1/deliveries")

        assert (shown.status_code, shown.json()["code"]) == (404, "delivery_not_found")
        assert again.status_code == 404
        assert listed.json()["data"] == []

    async def test_pages_follow_each_other_without_gap_or_repeat(self, publishing, journey) -> None:
        account_id = new_id("acc")
        made = [journey("http://127.0.0.1:1/", account_id=account_id) for _ in range(5)]
        await publishing.edge.handle(records(*(one.ended for one in made)))

        seen, cursor = [], None
        async with client(publishing, account_id=account_id) as http:
            while True:
                query = {"limit": 2, "state": "waiting"} | ({"cursor": cursor} if cursor else {})
                answer = (await http.get("/v1/deliveries", params=query)).json()
                seen += [delivery["id"] for delivery in answer["data"]]
                cursor = answer["next_cursor"]
                if cursor is None:
                    break

        assert seen == sorted((one.delivery_id for one in made), reverse=True)

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/v1/deliveries?cursor=nonsense", 422),
            ("/v1/deliveries?state=lost", 422),
            ("/v1/deliveries?limit=0", 422),
            ("/v1/deliveries/dlv_%00", 422),
        ],
    )
    async def test_bad_questions_are_told_apart(self, publishing, path, status) -> None:
        async with client(publishing, account_id=new_id("acc")) as http:
            answer = await http.get(path)

        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("path", ["/v1/deliveries", "/v1/webhook-secret"])
    async def test_nobody_gets_in_without_an_identity(self, publishing, path) -> None:
        async with client(publishing) as http:
            assert (await http.get(path)).status_code == 401


class TestSecret:
    async def test_a_key_that_only_reads_does_not_get_it(self, publishing, limited) -> None:
        async with client(publishing) as http:
            answer = await http.get("/v1/webhook-secret", auth=limited(new_id("acc"), "read"))

        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
        assert "whsec_" not in answer.text

    async def test_each_account_has_one_of_its_own_that_stays(self, publishing, limited) -> None:
        ours, theirs = new_id("acc"), new_id("acc")
        secrets = []
        for account_id in (ours, ours, theirs):
            async with client(publishing) as http:
                answer = await http.get("/v1/webhook-secret", auth=limited(account_id, "read", "write"))
            assert answer.headers["cache-control"] == "no-store"
            secrets.append(answer.json()["secret"])

        assert secrets[0] == secrets[1] != secrets[2]
        assert secrets[0].startswith("whsec_")

    async def test_it_verifies_what_the_account_receives(
        self, publishing, working, journey, receiver, told, limited
    ) -> None:
        made = journey(receiver.url, secret=None)
        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            await told()

        async with client(publishing) as http:
            answer = await http.get("/v1/webhook-secret", auth=limited(made.ended.account_id, "read", "write"))
            secret = answer.json()["secret"]

        receiver.received[0].verify(secret)


class TestRedeliver:
    async def test_a_failed_delivery_is_made_again_with_the_same_id_and_body(
        self, publishing, working, journey, receiver, told
    ) -> None:
        receiver.say(410)
        made = journey(receiver.url)

        async with working(publishing), client(publishing, account_id=made.ended.account_id) as http:
            await publishing.edge.handle(records(made.requested, made.ended))
            await told()
            answer = await http.post(f"/v1/deliveries/{made.delivery_id}/redeliver")
            _, again = await told(2)

        assert (answer.status_code, answer.json()["state"]) == (202, "delivering")
        assert isinstance(again, DeliverySucceeded)
        assert again.attempts == 2
        assert receiver.received[0].body == receiver.received[1].body
        assert {got.headers["webhook-id"] for got in receiver.received} == {made.delivery_id}

    async def test_a_wait_of_hours_is_cut_short(
        self, publishing, working, journey, receiver, answer, told, rows
    ) -> None:
        receiver.say(answer(503, {"retry-after": "3000"}))
        made = journey(receiver.url)

        async with working(publishing), client(publishing, account_id=made.ended.account_id) as http:
            await publishing.edge.handle(records(made.requested, made.ended))
            await eventually(lambda: rows("SELECT 1 FROM deliveries WHERE failures = 1 AND lease_token IS NULL"))
            await http.post(f"/v1/deliveries/{made.delivery_id}/redeliver")
            (event,) = await told()

        assert (event.attempts, event.status_code) == (2, 204)

    async def test_asking_twice_before_it_is_made_delivers_once(
        self, publishing, working, journey, receiver, told
    ) -> None:
        made = journey(receiver.url)
        async with working(publishing):
            await publishing.edge.handle(records(made.requested, made.ended))
            await told()
        async with client(publishing, account_id=made.ended.account_id) as http:
            for _ in range(2):
                assert (await http.post(f"/v1/deliveries/{made.delivery_id}/redeliver")).status_code == 202

        async with working(build(publishing.settings)):
            await told(2)

        assert len(receiver.received) == 2

    async def test_one_that_is_being_made_is_left_alone(self, publishing, journey, rows) -> None:
        made = journey("http://127.0.0.1:1/")
        await publishing.edge.handle(records(made.requested, made.ended))
        async with publishing.db.write() as session:
            await session.execute(
                text(
                    "UPDATE deliveries SET lease_token = gen_random_uuid(), leased_until = now() + interval '1 minute'"
                )
            )
        before = await rows("SELECT due_at, attempts, leased_until FROM deliveries")

        async with client(publishing, account_id=made.ended.account_id) as http:
            answer = await http.post(f"/v1/deliveries/{made.delivery_id}/redeliver")

        assert answer.status_code == 202
        assert await rows("SELECT due_at, attempts, leased_until FROM deliveries") == before

    async def test_there_is_nothing_to_repeat_before_the_job_ends(self, publishing, journey) -> None:
        made = journey("http://127.0.0.1:1/")
        await publishing.edge.handle(records(made.requested))

        async with client(publishing, account_id=made.ended.account_id) as http:
            answer = await http.post(f"/v1/deliveries/{made.delivery_id}/redeliver")

        assert (answer.status_code, answer.json()["code"]) == (409, "delivery_not_ready")
