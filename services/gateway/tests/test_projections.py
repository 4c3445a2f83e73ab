"""What other services tell becomes what customers see, in whatever order it arrives."""

import asyncio
import json

import pytest

from kit.testing import records
from shared.events import CreditsClawedBack, CreditsExpired, DeliveryFailed, HoldOverdue
from shared.ids import created_at, new_id


class TestProjections:
    @pytest.fixture
    async def job_id(self, customer, order):
        return (await customer.http.post("/v1/jobs", json=order)).json()["id"]

    async def test_a_job_that_comes_through_shows_items_and_money(self, gateway, customer, job_id, make):
        await gateway.edge.handle(records(*make.journey(customer.account_id, job_id)))

        job = (await customer.http.get(f"/v1/jobs/{job_id}")).json()
        assert job["status"] == "succeeded"
        assert [item["outcome"] for item in job["items"]] == ["delivered"]
        assert (job["credits"]["held"], job["credits"]["captured"], job["credits"]["released"]) == (4_000, 4_000, 0)
        assert job["finished_at"] is not None

    async def test_a_refused_job_shows_the_numbers(self, gateway, customer, job_id, make):
        events = [make.credits_refused(customer.account_id, job_id), make.refused(customer.account_id, job_id)]
        await gateway.edge.handle(records(*events))

        job = (await customer.http.get(f"/v1/jobs/{job_id}")).json()
        assert job["status"] == "refused"
        assert job["failure"] == {
            "code": "insufficient_credits",
            "detail": "too few",
            "needed": 4_000,
            "available": 1,
        }
        assert (job["credits"]["held"], job["credits"]["captured"], job["credits"]["released"]) == (None, 0, 0)

    async def test_a_delivery_that_failed_and_was_made_again_has_succeeded(self, gateway, customer, order, make):
        target = {"webhook": {"url": "https://example.com/hook"}}
        job = (await customer.http.post("/v1/jobs", json=order | {"deliver": target})).json()
        succeeded = make.delivered(customer.account_id, job["id"])
        failed = DeliveryFailed(**succeeded.model_dump(), code="exhausted", detail="no answer")

        for event in (succeeded, failed):
            await gateway.edge.handle(records(event))

        shown = (await customer.http.get(f"/v1/jobs/{job['id']}")).json()["delivery"]
        assert (shown["state"], shown["delivery_id"]) == ("succeeded", succeeded.delivery_id)

    async def test_the_first_outcome_of_a_job_stays(self, gateway, customer, job_id, make, rows_of):
        journey = make.journey(customer.account_id, job_id)
        await gateway.edge.handle(records(*journey))
        late = HoldOverdue(account_id=customer.account_id, job_id=job_id, amount=4_000, deadline=created_at(job_id))
        await gateway.edge.handle(records(late, make.held(customer.account_id, job_id)))

        (row,) = await rows_of("jobs")
        assert row["status"] == "succeeded"
        assert [entry["seq"] for entry in await rows_of("job_events")] == list(range(1, 9))

    async def test_a_job_that_only_others_know_gets_a_row(self, gateway, customer, make, rows_of):
        job_id = new_id("job")
        await gateway.edge.handle(records(*make.journey(customer.account_id, job_id)))

        job = (await customer.http.get(f"/v1/jobs/{job_id}")).json()
        assert (job["kind"], job["status"], job["credits"]["captured"]) == ("unknown", "succeeded", 4_000)
        (row,) = await rows_of("jobs")
        assert row["created_at"] == created_at(job_id)

    async def test_a_wallet_keeps_its_highest_version(self, gateway, customer, make, rows_of):
        newer, older = (
            make.granted(customer.account_id, available=amount, version=version) for amount, version in ((7, 9), (5, 8))
        )
        await gateway.edge.handle(records(newer))
        await gateway.edge.handle(records(older))

        (row,) = await rows_of("balances")
        assert (row["available"], row["version"]) == (7, 9)

    async def test_credits_that_go_without_a_job_are_followed_below_zero(self, gateway, customer, make, rows_of):
        grant_id = new_id("grt")
        expired = CreditsExpired(
            account_id=customer.account_id, grant_id=grant_id, amount=5, available=2, held=0, wallet_version=2
        )
        clawed_back = CreditsClawedBack(
            account_id=customer.account_id,
            reason="refund:re_1",
            amount=5,
            debt=3,
            available=-3,
            held=0,
            wallet_version=3,
        )
        for event in (clawed_back, make.granted(customer.account_id, available=7), expired):
            await gateway.edge.handle(records(event))

        (row,) = await rows_of("balances")
        assert (row["available"], row["version"]) == (-3, 3)

    async def test_a_large_batch_numbers_every_job_by_itself(self, gateway, customer, make, rows_of):
        ids = [new_id("job") for _ in range(40)]
        journeys = [make.journey(customer.account_id, job_id) for job_id in ids]
        interleaved = [event for step in zip(*journeys, strict=True) for event in step]

        await gateway.edge.handle(records(*interleaved))

        entries = await rows_of("job_events")
        assert [entry["seq"] for entry in entries] == [1, 2, 3, 4, 5] * len(ids)
        assert {row["status"] for row in await rows_of("jobs")} == {"succeeded"}


class TestReplicas:
    async def test_two_that_meet_the_same_jobs_in_opposite_order_both_come_through(
        self, gateway, customer, make, rows_of
    ):
        ids = [new_id("job") for _ in range(20)]
        journeys = [make.journey(customer.account_id, job_id) for job_id in ids]
        steps = list(zip(*journeys, strict=True))
        ahead = [event for step in steps[:3] for event in step]
        behind = [event for step in reversed(steps[3:]) for event in reversed(step)]

        await asyncio.gather(gateway.edge.handle(records(*ahead)), gateway.edge.handle(records(*behind)))

        assert {row["status"] for row in await rows_of("jobs")} == {"succeeded"}
        assert len(await rows_of("job_events")) == 100
        assert await rows_of("job_events", seq=6) == []


class TestTimeline:
    async def test_it_tells_the_whole_story_from_the_journal_alone(self, gateway, customer, order, make):
        target = {"webhook": {"url": "https://example.com/hook", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}
        job = (await customer.http.post("/v1/jobs", json=order | {"deliver": target})).json()
        await gateway.edge.handle(records(*make.journey(customer.account_id, job["id"])))
        await gateway.edge.handle(records(make.delivered(customer.account_id, job["id"])))

        told = (await customer.http.get(f"/v1/jobs/{job['id']}/timeline")).json()

        assert [event["seq"] for event in told["events"]] == list(range(1, 8))
        assert [event["service"] for event in told["events"]] == [
            "gateway",
            "billing",
            "generation",
            "storage",
            "generation",
            "billing",
            "publishing",
        ]
        (step,) = told["steps"]
        assert (step["outcome"], step["price"]) == ("delivered", 4_000)
        assert step["attempts"][0]["model"] == "gpt-image-2"
        assert step["produced_at"] is not None
        assert step["stored_at"] is not None
        assert [transaction["kind"] for transaction in told["ledger"]] == ["hold", "settle"]
        assert all(sum(line["amount"] for line in entry["lines"]) == 0 for entry in told["ledger"])
        assert [(delivery["state"], delivery["attempts"]) for delivery in told["deliveries"]] == [("succeeded", 1)]
        assert "secret" not in json.dumps(told)
