"""Asking for jobs, reading them, and stopping them."""

import asyncio
from datetime import timedelta

import pytest
from fastapi import FastAPI

from kit.problems import MEDIA_TYPE
from kit.sealing import unseal
from kit.testing import IDENTITY, emitted, records
from shared.events import AccountRegistered, JobCancelRequested, JobRequested
from shared.ids import new_id

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def requested(gateway):
    return [event for event in await emitted(gateway.db) if isinstance(event, JobRequested)]


class TestCreateJob:
    async def test_an_accepted_job_is_durable_priced_and_told(self, gateway, customer, order, rows_of):
        answer = await customer.http.post("/v1/jobs", json=order)

        assert answer.status_code == 202
        job = answer.json()
        assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
        assert job["status"] == "queued"
        assert job["credits"] == {
            "price": 4_000,
            "held": None,
            "captured": None,
            "released": None,
            "unit": "millicredits",
        }
        (event,) = await requested(gateway)
        assert (event.job_id, event.account_id, event.price) == (job["id"], customer.account_id, 4_000)
        assert event.input["size"] == "1024x1024"
        (entry,) = await rows_of("job_events", job_id=job["id"])
        assert (entry["seq"], entry["type"], str(entry["event_id"])) == (1, event.wire_type, event.envelope.id)

    async def test_the_answer_is_what_can_be_read_later(self, customer, order):
        made = await customer.http.post("/v1/jobs", json=order)

        assert (await customer.http.get(made.headers["Location"])).json() == made.json()

    async def test_the_deadline_is_the_callers(self, gateway, customer, order):
        await customer.http.post("/v1/jobs", json=order | {"deadline_seconds": 30})

        (event,) = await requested(gateway)
        assert event.deadline - event.requested_at == timedelta(seconds=30)

    async def test_a_job_may_be_part_of_a_campaign(self, gateway, customer, order):
        campaign = new_id("cmp")
        await customer.http.post("/v1/jobs", json=order | {"campaign_id": campaign})
        await customer.http.post("/v1/jobs", json=order)

        assert {event.campaign_id for event in await requested(gateway)} == {campaign, None}

    async def test_a_whole_number_may_be_written_with_a_fraction(self, customer):
        content = b'{"kind": "image", "input": {"prompt": "a", "n": 2.0}, "deadline_seconds": 6e2}'
        answer = await customer.http.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})

        assert (answer.status_code, answer.json()["input"]["n"]) == (202, 2)

    async def test_only_publishing_can_read_the_secret_of_a_webhook(self, gateway, customer, order, rows_of):
        target = {"webhook": {"url": "https://example.com/hook", "secret": WHSEC}}
        answer = await customer.http.post("/v1/jobs", json=order | {"deliver": target})

        assert answer.json()["delivery"] == {
            "url": "https://example.com/hook",
            "state": "pending",
            "delivery_id": None,
        }
        (event,) = await requested(gateway)
        assert unseal(IDENTITY.seal_private_key, event.deliver.sealed_secret, context=event.job_id) == WHSEC
        (entry,) = await rows_of("job_events")
        assert entry["data"]["deliver"] == {"url": "https://example.com/hook"}

    @pytest.mark.parametrize(
        ("changes", "code", "field"),
        [
            ({"kind": "sculpture"}, "unknown_kind", None),
            ({"input": {"prompt": "x" * 1_001}}, "invalid_request", "input.prompt"),
            ({"input": {"prompt": "a", "size": "1x1"}}, "invalid_request", "input.size"),
            ({"input": {"prompt": "a", "n": "2"}}, "invalid_request", "input.n"),
            ({"input": {"prompt": "a\x00b"}}, "invalid_request", "input.prompt"),
            ({"input": {"prompt": "a", "typo": 1}}, "invalid_request", "input.typo"),
            ({"campaign_id": "spring"}, "invalid_request", "campaign_id"),
            ({"deadline_seconds": 29}, "invalid_request", "deadline_seconds"),
            ({"deliver": {"webhook": {"url": "ftp://example.com"}}}, "invalid_request", "deliver.webhook.url"),
            ({"deliver": {"webhook": {"url": "https://a.b", "secret": "s"}}}, "invalid_request", None),
        ],
    )
    async def test_an_invalid_request_is_refused_and_nothing_is_stored(
        self, gateway, customer, order, rows_of, changes, code, field
    ):
        answer = await customer.http.post("/v1/jobs", json=order | changes)

        assert answer.status_code == 422
        assert answer.headers["Content-Type"] == MEDIA_TYPE
        assert answer.json()["code"] == code
        if field:
            assert [fault["field"] for fault in answer.json()["errors"]] == [field]
        assert await rows_of("jobs") == []
        assert [type(event) for event in await emitted(gateway.db)] == [AccountRegistered]

    async def test_an_unknown_kind_lists_the_known_ones(self, customer, order):
        answer = await customer.http.post("/v1/jobs", json=order | {"kind": "sculpture"})

        assert answer.json()["kinds"] == ["image"]

    @pytest.mark.parametrize(
        ("content", "media_type", "status", "code"),
        [
            (b"{", "application/json", 400, "invalid_json"),
            (b"\xff", "application/json", 400, "invalid_json"),
            (b"[" * 50_000, "application/json", 400, "invalid_json"),
            (b'{"deadline_seconds": NaN}', "application/json", 400, "invalid_json"),
            (b'{"deadline_seconds": ' + b"1" * 5_000 + b"}", "application/json", 400, "invalid_json"),
            (b'{"kind": "image", "input": {"prompt": "\\ud800"}}', "application/json", 422, "invalid_request"),
            (b"{}", "text/plain", 415, "unsupported_media_type"),
            (b'{"kind":"' + b"x" * 70_000 + b'"}', "application/json", 413, "body_too_large"),
        ],
    )
    async def test_a_body_that_is_no_request_is_a_problem(self, customer, content, media_type, status, code):
        answer = await customer.http.post("/v1/jobs", content=content, headers={"Content-Type": media_type})

        assert (answer.status_code, answer.json()["code"]) == (status, code)


class TestIdempotency:
    async def test_the_same_key_many_times_at_once_is_one_job(self, gateway, customer, order, rows_of):
        answers = await asyncio.gather(
            *(customer.http.post("/v1/jobs", json=order, headers={"Idempotency-Key": "once"}) for _ in range(50))
        )

        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert sum("Idempotent-Replay" not in answer.headers for answer in answers) == 1
        assert len(await rows_of("jobs")) == 1
        assert len(await requested(gateway)) == 1

    async def test_a_replay_returns_the_first_answer_whatever_became_of_the_job(self, gateway, customer, order, make):
        first = await customer.http.post("/v1/jobs", json=order, headers={"Idempotency-Key": "k"})
        await gateway.edge.handle(records(*make.journey(customer.account_id, first.json()["id"])))

        again = await customer.http.post("/v1/jobs", json=order, headers={"Idempotency-Key": "k"})

        assert again.json() == first.json()
        assert again.headers["Idempotent-Replay"] == "true"

    async def test_another_body_is_a_conflict(self, customer, order):
        await customer.http.post("/v1/jobs", json=order, headers={"Idempotency-Key": "k"})
        other = await customer.http.post(
            "/v1/jobs", json=order | {"deadline_seconds": 60}, headers={"Idempotency-Key": "k"}
        )

        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")

    async def test_two_bodies_at_once_are_one_job_and_a_conflict(self, customer, order, rows_of):
        other = order | {"deadline_seconds": 60}
        answers = await asyncio.gather(
            *(customer.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"}) for body in (order, other))
        )

        assert sorted(answer.status_code for answer in answers) == [202, 409]
        assert len(await rows_of("jobs")) == 1

    async def test_keys_of_different_customers_do_not_meet(self, customer, open_account, order):
        _, key = await open_account()
        mine = await customer.http.post("/v1/jobs", json=order, headers={"Idempotency-Key": "k"})
        theirs = await customer.http.post(
            "/v1/jobs", json=order, headers={"Idempotency-Key": "k", "Authorization": f"Bearer {key}"}
        )

        assert mine.json()["id"] != theirs.json()["id"]

    @pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", b"\xe4"])
    async def test_a_key_that_is_none_is_refused(self, customer, order, key):
        answer = await customer.http.post("/v1/jobs", json=order, headers={"Idempotency-Key": key})

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_idempotency_key")


class TestCredits:
    """A projection may say yes; only billing may say no."""

    @pytest.fixture
    async def billing(self, serve):
        """Billing, which knows of ``available`` credits."""
        app = FastAPI()
        app.state.available, app.state.asked = 0, 0

        @app.get("/v1/credits")
        async def read_credits() -> dict[str, int]:
            app.state.asked += 1
            return {"available": app.state.available, "held": 0}

        async with serve(app) as url:
            app.state.url = url
            yield app.state

    @pytest.fixture
    def overrides(self, billing):
        return {"billing_url": billing.url, "confirmation_timeout": timedelta(seconds=5)}

    @pytest.fixture
    async def poor(self, gateway, customer, make):
        """A customer whose last known balance is a milli-credit too low."""
        await gateway.edge.handle(records(make.granted(customer.account_id, available=3_999)))
        return customer

    async def test_a_wallet_that_can_pay_is_not_asked_about(self, gateway, customer, billing, make, order):
        await gateway.edge.handle(records(make.granted(customer.account_id, available=4_000)))

        assert (await customer.http.post("/v1/jobs", json=order)).status_code == 202
        assert billing.asked == 0

    async def test_an_account_billing_has_not_told_of_is_not_asked_about(self, customer, billing, order):
        assert (await customer.http.post("/v1/jobs", json=order)).status_code == 202
        assert billing.asked == 0

    async def test_what_billing_confirms_is_refused_with_the_numbers_and_nothing_is_stored(
        self, poor, billing, order, rows_of
    ):
        billing.available = 1_234

        answer = await poor.http.post("/v1/jobs", json=order, headers={"Idempotency-Key": "k"})

        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (402, "insufficient_credits")
        assert (problem["needed"], problem["available"]) == (4_000, 1_234)
        assert await rows_of("jobs") == []

    async def test_a_key_that_was_refused_can_be_used_when_there_is_money(self, poor, billing, order):
        refused = await poor.http.post("/v1/jobs", json=order, headers={"Idempotency-Key": "k"})
        billing.available = 4_000
        accepted = await poor.http.post("/v1/jobs", json=order, headers={"Idempotency-Key": "k"})

        assert (refused.status_code, accepted.status_code) == (402, 202)
        assert "Idempotent-Replay" not in accepted.headers

    async def test_what_billing_knows_better_is_accepted(self, poor, billing, order):
        billing.available = 4_000

        assert (await poor.http.post("/v1/jobs", json=order)).status_code == 202
        assert billing.asked == 1

    async def test_a_replay_costs_nothing(self, gateway, customer, billing, make, order):
        first = await customer.http.post("/v1/jobs", json=order, headers={"Idempotency-Key": "k"})
        await gateway.edge.handle(records(make.granted(customer.account_id, available=0)))

        again = await customer.http.post("/v1/jobs", json=order, headers={"Idempotency-Key": "k"})

        assert (again.status_code, again.json()) == (202, first.json())
        assert billing.asked == 0


class TestCreditsWithoutBilling:
    async def test_the_job_is_accepted_and_billing_decides_later(self, gateway, customer, make, order):
        await gateway.edge.handle(records(make.granted(customer.account_id, available=0)))

        assert (await customer.http.post("/v1/jobs", json=order)).status_code == 202


class TestCancel:
    async def test_a_cancel_is_told_once(self, gateway, customer, order, rows_of):
        job = (await customer.http.post("/v1/jobs", json=order)).json()

        answers = [await customer.http.post(f"/v1/jobs/{job['id']}/cancel") for _ in range(2)]

        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].json()["cancel_requested_at"] == answers[1].json()["cancel_requested_at"] is not None
        cancels = [event for event in await emitted(gateway.db) if isinstance(event, JobCancelRequested)]
        assert [event.job_id for event in cancels] == [job["id"]]
        assert [entry["seq"] for entry in await rows_of("job_events")] == [1, 2]

    async def test_many_at_once_are_told_once(self, gateway, customer, order):
        job = (await customer.http.post("/v1/jobs", json=order)).json()

        await asyncio.gather(*(customer.http.post(f"/v1/jobs/{job['id']}/cancel") for _ in range(10)))

        assert sum(isinstance(event, JobCancelRequested) for event in await emitted(gateway.db)) == 1

    async def test_a_finished_job_cannot_be_stopped(self, gateway, customer, order, make):
        job = (await customer.http.post("/v1/jobs", json=order)).json()
        await gateway.edge.handle(records(*make.journey(customer.account_id, job["id"])))

        answer = await customer.http.post(f"/v1/jobs/{job['id']}/cancel")

        assert (answer.status_code, answer.json()["code"]) == (409, "job_already_finished")


class TestReadJobs:
    async def test_pages_are_newest_first_and_complete(self, customer, order):
        made = [(await customer.http.post("/v1/jobs", json=order)).json()["id"] for _ in range(5)]

        seen, cursor = [], None
        while True:
            query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            answer = (await customer.http.get("/v1/jobs", params=query)).json()
            seen += [job["id"] for job in answer["data"]]
            if (cursor := answer["next_cursor"]) is None:
                break

        assert seen == made[::-1]

    async def test_filters_narrow_the_list(self, gateway, customer, order, make):
        ids = [(await customer.http.post("/v1/jobs", json=order)).json()["id"] for _ in range(2)]
        await gateway.edge.handle(records(*make.journey(customer.account_id, ids[0])))

        async def listed(**query):
            answer = await customer.http.get("/v1/jobs", params=query)
            return [job["id"] for job in answer.json()["data"]]

        assert await listed(status="succeeded") == [ids[0]]
        assert await listed(status="queued", kind="image") == [ids[1]]

    async def test_a_kind_that_nobody_makes_is_not_searched_for(self, customer):
        answer = await customer.http.get("/v1/jobs", params={"kind": "video"})

        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_kind")
        assert answer.json()["kinds"] == ["image"]

    @pytest.mark.parametrize("query", [{"status": "done"}, {"kind": "\x00"}, {"limit": 0}, {"cursor": "nonsense"}])
    async def test_a_filter_that_is_none_is_refused(self, customer, query):
        assert (await customer.http.get("/v1/jobs", params=query)).status_code == 422

    @pytest.mark.parametrize("suffix", ["", "/timeline", "/events"])
    async def test_a_foreign_job_does_not_exist(self, customer, open_account, order, suffix):
        job = (await customer.http.post("/v1/jobs", json=order)).json()
        _, other = await open_account()

        theirs = {"Authorization": f"Bearer {other}"}
        answers = [await customer.http.get(f"/v1/jobs/{job['id']}{suffix}", headers=theirs)]
        answers += [await customer.http.get(f"/v1/jobs/{new_id('job')}{suffix}")]
        answers += [await customer.http.post(f"/v1/jobs/{job['id']}/cancel", headers=theirs)]

        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "job_not_found")}

    async def test_an_id_that_is_none_is_refused(self, customer):
        assert (await customer.http.get("/v1/jobs/job_1")).status_code == 422
