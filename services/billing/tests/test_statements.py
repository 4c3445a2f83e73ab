"""The ledger read back: balances of a past moment, monthly statements, holds, and reconciliation."""

import argparse
import csv
import io
import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from billing import cli, monthly
from billing.app import build
from billing.invariants import INVARIANTS
from billing.monthly import Month, Statements
from billing.reconcile import reconcile
from billing.settings import BillingSettings
from kit import invariants, testing
from kit.testing import records
from shared.ids import new_id


def parse(*arguments):
    parser = argparse.ArgumentParser()
    cli.extend(parser.add_subparsers(required=True))
    return parser.parse_args(arguments)


# In UTC the one is before the first year and the other after the last.
UNTHINKABLE = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00")


@pytest.fixture
async def history(billing, make, account_id):
    """A registration, then a job that was delivered in part."""
    await billing.edge.handle(records(make.registered(account_id)))
    job = make.requested(account_id, input={"n": 2})
    await billing.edge.handle(records(job))
    await billing.edge.handle(records(make.succeeded(job, make.delivered(0, 4_000), make.failed(1, "rate_limited"))))
    return job


class TestAsOf:
    async def test_a_past_moment_shows_the_wallet_of_then(self, billing, account_id, history, rows_of):
        moments = sorted(row["created_at"] for row in await rows_of("transactions"))
        async with testing.client(billing, account_id=account_id) as http:
            answers = [
                (await http.get("/v1/credits", params={"as_of": moment.isoformat()})).json() for moment in moments
            ]
            before = (await http.get("/v1/credits", params={"as_of": "2020-01-01T00:00:00Z"})).json()

        assert [(answer["available"], answer["held"], answer["version"]) for answer in answers] == [
            (50_000, 0, 1),
            (42_000, 8_000, 2),
            (46_000, 0, 3),
        ]
        assert (before["available"], before["version"]) == (0, 0)

    async def test_transactions_of_a_span_of_time(self, billing, account_id, history, rows_of):
        _, second, third = sorted(row["created_at"] for row in await rows_of("transactions"))
        async with testing.client(billing, account_id=account_id) as http:
            span = {"since": second.isoformat(), "until": third.isoformat()}
            body = (await http.get("/v1/credits/transactions", params=span)).json()
            later = (await http.get("/v1/credits/transactions", params={"since": "2999-01-01T00:00:00Z"})).json()
            earlier = (await http.get("/v1/credits/transactions", params={"until": "2999-01-01T00:00:00Z"})).json()

        assert [row["kind"] for row in body["data"]] == ["hold"]
        assert later["data"] == []
        assert [row["kind"] for row in earlier["data"]] == ["settle", "hold", "grant"]

    @pytest.mark.parametrize(
        "moment", ["2026-11-21T00:00:00", "0.5", "-0.5", "1e-5", "1763683200", "yesterday", "", *UNTHINKABLE]
    )
    async def test_a_moment_is_written_out_with_its_time_zone(self, billing, account_id, moment):
        async with testing.client(billing, account_id=account_id) as http:
            answers = [
                await http.get("/v1/credits/transactions", params={"since": moment}),
                await http.get("/v1/credits/transactions", params={"until": moment}),
                await http.get("/v1/credits", params={"as_of": moment}),
            ]

        assert [answer.status_code for answer in answers] == [422, 422, 422]


class TestStatement:
    async def test_opening_plus_movements_is_closing(self, billing, account_id, history):
        async with testing.client(billing, account_id=account_id) as http:
            month = datetime.now(UTC).strftime("%Y-%m")
            statement = (await http.get(f"/v1/credits/statements/{month}")).json()

        moved = [(row["kind"], row["available"], row["held"]) for row in statement["movements"]]
        assert moved == [("grant", 50_000, 0), ("hold", -8_000, 8_000), ("settle", 4_000, -8_000)]
        assert statement["opening"] == {"available": 0, "held": 0}
        assert statement["closing"] == {"available": 46_000, "held": 0}
        assert sum(statement["totals"].values()) == 0
        assert statement["totals"]["platform.earned"] == 4_000

    async def test_a_later_month_opens_with_what_the_last_one_left(self, billing, account_id, history):
        async with testing.client(billing, account_id=account_id) as http:
            statement = (await http.get("/v1/credits/statements/2999-12")).json()

        assert statement["opening"] == statement["closing"] == {"available": 46_000, "held": 0}
        assert statement["movements"] == []

    async def test_what_was_booked_as_the_month_began_belongs_to_it_alone(self, billing, account_id, history):
        starts = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        async with billing.db.write() as session:
            await session.execute(text("ALTER TABLE transactions DISABLE TRIGGER transactions_append_only"))
            moved = "UPDATE transactions SET created_at = :starts WHERE wallet_version = 1"
            await session.execute(text(moved), {"starts": starts})
        async with testing.client(billing, account_id=account_id) as http:
            statement = (await http.get(f"/v1/credits/statements/{starts:%Y-%m}")).json()

        assert statement["opening"] == {"available": 0, "held": 0}
        assert statement["movements"][0]["available"] == 50_000

    async def test_it_comes_as_csv_too(self, billing, account_id, history):
        async with testing.client(billing, account_id=account_id) as http:
            month = datetime.now(UTC).strftime("%Y-%m")
            answer = await http.get(f"/v1/credits/statements/{month}", params={"format": "csv"})

        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [row["kind"] for row in rows] == ["opening", "grant", "hold", "settle", "closing"]
        assert rows[-1]["available_after"] == "46000"
        assert rows[2]["job_id"] == history.job_id

    @pytest.mark.parametrize("month", ["2026-13", "9999-12", "1-1", "November", "2026-1"])
    async def test_what_is_no_month_is_told(self, billing, account_id, month):
        async with testing.client(billing, account_id=account_id) as http:
            answer = await http.get(f"/v1/credits/statements/{month}")

        assert answer.status_code == 422

    def test_months_end_where_the_next_begins(self):
        assert Month.parse("2026-12").ends == Month.parse("2027-01").starts
        assert Month.parse("2026-01").ends == Month.parse("2026-02").starts

    async def test_the_command_prints_it(self, billing, account_id, history, capsys):
        month = datetime.now(UTC).strftime("%Y-%m")
        parsed = parse("statement", "--account", account_id, "--month", month)

        assert await parsed.run(billing, parsed) == 0
        assert json.loads(capsys.readouterr().out)["closing"]["available"] == 46_000


class TestLongMonth:
    """The grant and four holds, in pages of two or so: with the last page full, nearly full and just begun."""

    MONTH = f"{datetime.now(UTC):%Y-%m}"

    @pytest.fixture
    async def busy(self, billing, make, account_id):
        await billing.edge.handle(records(make.registered(account_id)))
        await billing.edge.handle(records(*(make.requested(account_id) for _ in range(4))))

    async def ask(self, billing, account_id, **query):
        async with testing.client(billing, account_id=account_id) as http:
            return await http.get(f"/v1/credits/statements/{self.MONTH}", params=query)

    @pytest.mark.parametrize("page", [1, 2, 3, 4, 5, 6])
    async def test_both_formats_agree_wherever_a_page_ends(self, billing, account_id, busy, monkeypatch, page):
        monkeypatch.setattr(monthly, "PAGE", page)

        statement = (await self.ask(billing, account_id)).json()
        opening, *moved, closing = csv.DictReader(io.StringIO((await self.ask(billing, account_id, format="csv")).text))

        assert [movement["kind"] for movement in statement["movements"]] == ["grant", *["hold"] * 4]
        assert moved == [
            {column: str(value if value is not None else "") for column, value in movement.items()}
            for movement in statement["movements"]
        ]
        assert (opening["available_after"], opening["held_after"]) == ("0", "0")
        assert (closing["available_after"], closing["held_after"]) == ("34000", "16000")
        assert statement["closing"] == {"available": 34_000, "held": 16_000}
        assert sum(movement["available"] for movement in statement["movements"]) == 34_000

    async def test_what_comes_while_it_is_read_belongs_to_the_next_one(
        self, billing, make, account_id, busy, monkeypatch
    ):
        monkeypatch.setattr(monthly, "PAGE", 2)
        parts = await Statements(billing.db).as_csv(account_id=account_id, month=Month.parse(self.MONTH))
        text_so_far = [await anext(parts), await anext(parts)]
        await billing.edge.handle(records(make.requested(account_id)))

        rows = list(csv.DictReader(io.StringIO("".join([*text_so_far, *[part async for part in parts]]))))

        assert [row["kind"] for row in rows] == ["opening", "grant", *["hold"] * 4, "closing"]
        assert (rows[-1]["available_after"], rows[-1]["held_after"]) == ("34000", "16000")

    async def test_no_place_is_held_while_the_client_reads(self, billing, account_id, busy, monkeypatch):
        monkeypatch.setattr(monthly, "PAGE", 1)
        month = Month.parse(self.MONTH)
        many = [await Statements(billing.db).as_csv(account_id=account_id, month=month) for _ in range(40)]

        begun = [[await anext(parts) for _ in range(3)] for parts in many]

        assert len(begun) == 40

    async def test_one_that_is_too_long_for_json_is_refused_before_it_is_read(
        self, billing, account_id, busy, monkeypatch, capsys
    ):
        monkeypatch.setattr(monthly, "MOST", 5)
        assert (await self.ask(billing, account_id)).status_code == 200
        monkeypatch.setattr(monthly, "MOST", 4)

        refused = await self.ask(billing, account_id)
        whole = await self.ask(billing, account_id, format="csv")
        parsed = parse("statement", "--account", account_id, "--month", self.MONTH)

        assert (refused.status_code, refused.json()["code"]) == (422, "statement_too_long")
        assert (refused.json()["movements"], refused.json()["most"]) == (5, 4)
        assert "format=csv" in refused.json()["detail"]
        assert "/v1/credits/transactions" in refused.json()["detail"]
        assert len(whole.text.splitlines()) == 1 + 1 + 5 + 1
        assert await parsed.run(billing, parsed) == 1
        assert "format=csv" in capsys.readouterr().err

    async def test_the_command_prints_all_pages(self, billing, account_id, busy, monkeypatch, capsys):
        monkeypatch.setattr(monthly, "PAGE", 2)
        parsed = parse("statement", "--account", account_id, "--month", self.MONTH, "--format", "csv")

        assert await parsed.run(billing, parsed) == 0
        assert len(capsys.readouterr().out.splitlines()) == 1 + 1 + 5 + 1


class TestHolds:
    async def test_a_settled_hold_is_the_receipt_of_its_job(self, billing, make, account_id, history, rows_of):
        running = make.requested(account_id)
        await billing.edge.handle(records(running, make.requested(new_id("acc"))))
        async with testing.client(billing, account_id=account_id) as http:
            body = (await http.get("/v1/credits/holds")).json()
            first = (await http.get("/v1/credits/holds", params={"limit": 1})).json()
            rest = (await http.get("/v1/credits/holds", params={"cursor": first["next_cursor"]})).json()
            open_ones = (await http.get("/v1/credits/holds", params={"state": "open"})).json()

        assert [row["job_id"] for row in body["data"]] == [running.job_id, history.job_id]
        assert first["data"] + rest["data"] == body["data"]
        assert [row["job_id"] for row in open_ones["data"]] == [running.job_id]
        receipt = body["data"][1]
        grant = next(row for row in await rows_of("grants") if row["account_id"] == account_id)
        assert (receipt["held"], receipt["captured"], receipt["released"]) == (8_000, 4_000, 4_000)
        delivered, failed = receipt["items"]
        assert delivered["paid_by"] == [{"grant_id": grant["id"], "amount": 4_000}]
        assert delivered["asset_id"].startswith("ast_")
        assert (failed["rule"], failed["captured"], failed["paid_by"]) == ("rate_limited", 0, [])


class TestReconcile:
    @pytest.fixture
    async def billing(self, stack):
        """Billing whose books are cooked by the test, so the invariants do not hold after it."""
        async with testing.service("billing", BillingSettings, build, stack) as service:
            yield service

    async def test_books_that_agree_have_no_drift(self, billing, account_id, history, capsys):
        parsed = parse("reconcile")

        assert await parsed.run(billing, parsed) == 0
        assert "what the ledger says" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("drift", "seed", "kept", "ledger"),
        [
            ("wallet_available", "UPDATE wallets SET available = available + 5", 42_005, 42_000),
            ("wallet_held", "UPDATE wallets SET held = held - 5", 3_995, 4_000),
            ("wallet_debt", "UPDATE wallets SET debt = 7", 7, 0),
            ("grant_remaining", "UPDATE grants SET remaining = remaining - 1", 41_999, 42_000),
            ("grant_expired", "UPDATE grants SET expired = 3", 3, 0),
            ("open_hold", "UPDATE holds SET held = 1 WHERE state = 'open'", 1, 4_000),
            ("open_hold", "DELETE FROM holds WHERE state = 'open'", 0, 4_000),
            ("settlement", "DELETE FROM holds WHERE state = 'settled'", 0, 4_000),
            (
                "settlement",
                "UPDATE holds SET captured = 8000, released = 0, owed = 8000 WHERE state = 'settled'",
                8_000,
                4_000,
            ),
        ],
    )
    async def test_each_drift_is_found_and_named(
        self, billing, make, account_id, history, capsys, drift, seed, kept, ledger
    ):
        await billing.edge.handle(records(make.requested(account_id)))
        async with billing.db.write() as session:
            await session.execute(text(seed))

        async with billing.db.read() as session:
            (found,) = await reconcile(session)
        assert (found.name, found.account_id, found.kept, found.due) == (drift, account_id, kept, ledger)
        assert await invariants.check(billing.db, INVARIANTS) != []
        parsed = parse("reconcile")
        assert await parsed.run(billing, parsed) == 1
        assert capsys.readouterr().out.startswith(f"{drift}: ")

    async def test_a_transaction_that_does_not_sum_to_zero_is_found(self, billing, account_id, history, rows_of):
        transaction = (await rows_of("transactions"))[0]
        async with billing.db.write() as session:
            await session.execute(text("ALTER TABLE entries DISABLE TRIGGER entries_balance"))
            line = "INSERT INTO entries (transaction_id, line, account, amount) VALUES (:id, 9, 'platform.loss', 4)"
            await session.execute(text(line), {"id": transaction["id"]})

        async with billing.db.read() as session:
            (found,) = await reconcile(session)
        assert (found.name, found.subject, found.kept) == ("unbalanced_transaction", transaction["id"], 4)
        violated = {violation.invariant.name for violation in await invariants.check(billing.db, INVARIANTS)}
        assert violated == {"transactions_sum_to_zero", "ledger_sums_to_zero"}
