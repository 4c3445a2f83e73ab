"""The first journey: one paid image through five services, seen through the public API only."""

import hashlib
import io
import itertools
import json

import httpx2
from PIL import Image

from kit.testing import eventually
from shared.ids import uuid7

PRICE = 4_000


class TestOnePicture:
    async def test_a_request_becomes_a_picture_that_is_paid_kept_and_delivered(self, system, customer) -> None:
        inbox, secret = uuid7().hex, system.webhook_secret()
        async with httpx2.AsyncClient(base_url=system.twins) as twins:
            await twins.put(f"/hooks/{inbox}/config", json={"secret": secret})
            deliver = {"webhook": {"url": f"{system.twins}/hooks/{inbox}", "secret": secret}}

            job = await customer.ask("a lighthouse in a storm, oil painting", deliver=deliver)
            seen = [event async for event in customer.events(job["id"])]
            finished = await customer.finished(job["id"])

            arrived = await eventually(lambda: _messages(twins, inbox))
        assert finished["status"] == "succeeded"
        assert finished["credits"] == {
            "price": PRICE,
            "held": PRICE,
            "captured": PRICE,
            "released": 0,
            "unit": "millicredits",
        }
        assert await customer.credits() == {"available": 50_000 - PRICE, "held": 0}

        names = [event.name for event in seen if event.id is not None]
        assert names[0] == "job-requested"
        assert {"credits-held", "artifact-produced", "asset-stored", "job-succeeded", "credits-settled"} <= set(names)
        assert names[-1] in {"delivery-succeeded", "credits-settled"}

        (message,) = arrived
        body = json.loads(message["body"])
        assert message["verdict"] == "valid"
        assert (body["type"], body["data"]["job_id"]) == ("job.succeeded", job["id"])

        asset_id = finished["items"][0]["asset_id"]
        asset = await customer.get(f"/v1/assets/{asset_id}")
        async with httpx2.AsyncClient() as anyone:
            picture = (await anyone.get(asset["url"])).content
            assert (await anyone.get(asset["url"] + "0")).status_code == 403
        assert hashlib.sha256(picture).hexdigest() == asset["sha256"]
        with Image.open(io.BytesIO(picture)) as image:
            image.load()
            assert (image.format, image.size) == ("PNG", (1024, 1024))
        thumbnail = await eventually(lambda: _thumbnail(customer, asset_id))
        assert thumbnail

    async def test_the_timeline_shows_request_events_calls_money_and_delivery(self, system, customer) -> None:
        inbox, secret = uuid7().hex, system.webhook_secret()
        async with httpx2.AsyncClient(base_url=system.twins) as twins:
            await twins.put(f"/hooks/{inbox}/config", json={"secret": secret})
        deliver = {"webhook": {"url": f"{system.twins}/hooks/{inbox}", "secret": secret}}
        job = await customer.ask("a quiet forest", n=2, deliver=deliver)
        await customer.finished(job["id"])
        delivery = await eventually(lambda: _delivered(customer, job["id"]), timeout=30)

        timeline = await customer.get(f"/v1/jobs/{job['id']}/timeline")

        assert timeline["job"]["input"]["prompt"] == "a quiet forest"
        assert [event["seq"] for event in timeline["events"]] == list(range(1, len(timeline["events"]) + 1))
        ids = {event["id"] for event in timeline["events"]}
        caused = [event for event in timeline["events"] if event["causation_id"] is not None]
        assert caused
        assert {event["causation_id"] for event in caused} <= ids
        assert [len(step["attempts"]) for step in timeline["steps"]] == [1, 1]
        assert [entry["kind"] for entry in timeline["ledger"]] == ["hold", "settle"]
        for entry in timeline["ledger"]:
            assert sum(line["amount"] for line in entry["lines"]) == 0
        (told,) = timeline["deliveries"]
        assert told["delivery_id"] == delivery["delivery_id"]
        assert (told["state"], told["attempts"], told["status_code"]) == ("succeeded", 1, 204)

    async def test_the_stream_resumes_behind_the_last_event_seen(self, customer) -> None:
        job = await customer.ask("a red balloon")
        await customer.finished(job["id"])
        everything = [event async for event in customer.events(job["id"])]
        assert everything

        for cut in range(1, len(everything)):
            rest = [event async for event in customer.events(job["id"], after=int(everything[cut - 1].id))]
            assert [event.id for event in rest] == [event.id for event in everything[cut:]]

    async def test_lists_are_paged_newest_first(self, customer) -> None:
        made = [(await customer.ask(f"a small star, number {number}"))["id"] for number in range(3)]
        for job_id in made:
            await customer.finished(job_id)

        first = await customer.get("/v1/jobs", limit=2)
        second = await customer.get("/v1/jobs", limit=2, cursor=first["next_cursor"])

        assert [job["id"] for job in itertools.chain(first["data"], second["data"])] == made[::-1]
        assert second["next_cursor"] is None
        assert len((await customer.get("/v1/assets"))["data"]) == 3

    async def test_all_invariants_hold_afterwards(self, system, customer) -> None:
        job = await customer.ask("an old map")
        await customer.finished(job["id"])

        assert await system.violations() == {}


async def _delivered(customer, job_id: str) -> dict | None:
    delivery = (await customer.job(job_id))["delivery"]
    return None if delivery["state"] == "pending" else delivery


async def _messages(twins: httpx2.AsyncClient, inbox: str) -> list:
    found = (await twins.get(f"/hooks/{inbox}/messages")).json()
    return found["messages"] if isinstance(found, dict) else found


async def _thumbnail(customer, asset_id: str) -> str | None:
    return (await customer.get(f"/v1/assets/{asset_id}"))["thumbnail_url"]
