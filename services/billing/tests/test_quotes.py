"""A quote tells the exact price before, and a job that cites it gets that price."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from billing.quotes import KEEP
from kit import testing
from kit.testing import emitted, records
from shared.events import CreditsHeld, CreditsRefused
from shared.ids import new_id

TWO = {"prompt": "a lighthouse", "n": 2}
WANTED = {"jobs": [{"kind": "image", "input": TWO}, {"kind": "image", "input": {"prompt": "x", "quality": "hd"}}]}


async def quote(service, account_id, wanted=WANTED, **headers):
    async with testing.client(service, account_id=account_id) as http:
        return await http.post("/v1/quotes", json=wanted, headers=headers)


class TestQuote:
    async def test_it_tells_price_hold_validity_and_what_will_be_left(self, billing, make, account_id):
        await billing.edge.handle(records(make.registered(account_id)))
        answer = await quote(billing, account_id)
        body = answer.json()

        assert answer.status_code == 201
        assert answer.headers["location"] == f"/v1/quotes/{body['id']}"
        assert (body["price"], body["hold"], body["available_after"], body["affordable"]) == (
            16_000,
            16_000,
            34_000,
            True,
        )
        assert [job["item_prices"] for job in body["jobs"]] == [[4_000, 4_000], [8_000]]
        left = datetime.fromisoformat(body["valid_until"]) - datetime.now(UTC)
        assert timedelta(minutes=10) < left <= timedelta(minutes=15)

    async def test_it_holds_nothing(self, billing, make, account_id, wallet_of):
        await billing.edge.handle(records(make.registered(account_id)))
        await quote(billing, account_id)

        assert await wallet_of(account_id) == (50_000, 0)

    async def test_what_is_not_affordable_is_still_quoted(self, billing, account_id):
        dear = {"kind": "image", "input": {"prompt": "x", "n": 4, "quality": "hd", "size": "1792x1024"}}
        body = (await quote(billing, account_id, {"jobs": [dear, dear]})).json()

        assert (body["price"], body["available_after"], body["affordable"]) == (96_000, -46_000, False)

    async def test_it_can_be_read_by_its_account_alone(self, billing, account_id):
        made = (await quote(billing, account_id)).json()
        async with testing.client(billing, account_id=account_id) as http:
            read = await http.get(f"/v1/quotes/{made['id']}")
            unknown = await http.get(f"/v1/quotes/{new_id('qte')}")
        async with testing.client(billing, account_id=new_id("acc")) as http:
            foreign = await http.get(f"/v1/quotes/{made['id']}")

        assert read.json() == made
        assert (unknown.status_code, foreign.status_code) == (404, 404)
        assert unknown.json()["code"] == "quote_not_found"

    @pytest.mark.parametrize("path", ["quotes/%00", "quotes/qte_1", "spend-limits/%00"])
    async def test_what_is_no_id_is_told(self, billing, account_id, path):
        async with testing.client(billing, account_id=account_id) as http:
            answer = await http.request("GET" if path.startswith("quotes") else "DELETE", f"/v1/{path}")

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")

    async def test_a_key_is_quoted_once(self, billing, account_id, rows_of):
        key = {"Idempotency-Key": "k1"}
        first, again = [await quote(billing, account_id, **key) for _ in range(2)]
        other = await quote(billing, account_id, {"jobs": WANTED["jobs"][:1]}, **key)

        assert first.json() == again.json()
        assert again.headers["idempotent-replay"] == "true"
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
        assert len(await rows_of("quotes")) == 1

    @pytest.mark.parametrize(
        ("wanted", "code", "field"),
        [
            ({"jobs": []}, "invalid_request", "jobs"),
            ({"jobs": [WANTED["jobs"][0]] * 101}, "invalid_request", "jobs"),
            ({"jobs": [{"kind": "image", "input": {"prompt": "x", "n": -4}}]}, "invalid_request", "jobs.0.input.n"),
            ({"jobs": [{"kind": "image", "input": {"prompt": "x", "n": 10**30}}]}, "invalid_request", "jobs.0.input.n"),
            ({"jobs": [{"kind": "hologram", "input": {}}]}, "unknown_kind", None),
        ],
    )
    async def test_what_has_no_price_is_told(self, billing, account_id, wanted, code, field):
        answer = await quote(billing, account_id, wanted)

        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert field is None or answer.json()["errors"][0]["field"] == field


class TestCited:
    async def answer(self, billing, job):
        await billing.edge.handle(records(job))
        return (await emitted(billing.db))[-1]

    async def test_a_job_gets_the_price_version_it_was_quoted(self, billing, make, account_id, hold_of):
        made = (await quote(billing, account_id)).json()
        job = make.requested(account_id, input=TWO, quote_id=made["id"])

        held = await self.answer(billing, job)

        assert isinstance(held, CreditsHeld)
        assert (held.amount, (await hold_of(job.job_id))["quote_id"]) == (8_000, made["id"])

    async def test_an_older_price_version_is_honoured(self, billing, make, account_id):
        made = (await quote(billing, account_id)).json()
        async with billing.db.write() as session:
            await session.execute(text("UPDATE quotes SET price_version = '2026-11-21'"))
        job = make.requested(account_id, input=TWO, quote_id=made["id"], price_version="2026-11-21")

        assert isinstance(await self.answer(billing, job), CreditsHeld)

    async def test_what_counts_is_when_the_job_was_requested(self, billing, make, account_id):
        made = (await quote(billing, account_id)).json()
        async with billing.db.write() as session:
            moved = "UPDATE quotes SET created_at = created_at - interval '1 h', valid_until = now() - interval '5 min'"
            await session.execute(text(moved))
        early = datetime.now(UTC) - timedelta(minutes=6)

        in_time = await self.answer(
            billing, make.requested(account_id, input=TWO, quote_id=made["id"], requested_at=early)
        )
        late = await self.answer(billing, make.requested(account_id, input=TWO, quote_id=made["id"]))

        assert isinstance(in_time, CreditsHeld)
        assert isinstance(late, CreditsRefused)
        assert late.code == "quote_expired"

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"quote_id": new_id("qte")}, "unknown_quote"),
            ({"input": {"prompt": "another"}}, "quote_mismatch"),
            ({"price_version": "2026-11-21"}, "quote_mismatch"),
            ({"price": 1, "item_prices": (1,)}, "price_mismatch"),
        ],
    )
    async def test_a_quote_for_something_else_is_refused(self, billing, make, account_id, wallet_of, changes, code):
        made = (await quote(billing, account_id)).json()
        job = make.requested(account_id, **{"input": TWO, "quote_id": made["id"]} | changes)

        refused = await self.answer(billing, job)

        assert refused.code == code
        assert await wallet_of(account_id) == (50_000, 0)

    async def test_anothers_quote_is_refused_as_unknown(self, billing, make, account_id):
        made = (await quote(billing, new_id("acc"))).json()

        refused = await self.answer(billing, make.requested(account_id, input=TWO, quote_id=made["id"]))

        assert refused.code == "unknown_quote"


class TestRetention:
    """Quotes go hourly and in small transactions, whatever their account does."""

    async def sweep(self, billing, now):
        (retention,) = [worker for worker in billing.all_workers if worker.name == "retention"]
        await retention.sweep(now)

    async def test_a_quote_of_a_silent_account_goes_a_week_after_it_ended(self, billing, account_id, rows_of):
        ended = datetime.fromisoformat((await quote(billing, account_id)).json()["valid_until"])

        await self.sweep(billing, ended + KEEP - timedelta(seconds=1))
        assert len(await rows_of("quotes")) == 1
        await self.sweep(billing, ended + KEEP + timedelta(seconds=1))

        assert await rows_of("quotes") == []

    async def test_one_that_is_good_for_longer_stays_for_longer(self, billing, account_id, rows_of):
        ended = datetime.fromisoformat((await quote(billing, account_id)).json()["valid_until"])
        async with billing.db.write() as session:
            await session.execute(text("UPDATE quotes SET valid_until = valid_until + interval '30 days'"))

        await self.sweep(billing, ended + KEEP + timedelta(seconds=1))

        assert len(await rows_of("quotes")) == 1

    async def test_asking_for_one_deletes_nothing(self, billing, account_id, rows_of):
        await quote(billing, account_id)
        async with billing.db.write() as session:
            await session.execute(
                text("UPDATE quotes SET created_at = 'epoch', valid_until = now() - interval '8 days'")
            )

        assert (await quote(billing, account_id)).status_code == 201

        assert len(await rows_of("quotes")) == 2
