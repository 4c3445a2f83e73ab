"""Grants are spent in order, each hold knows who funds it, and an operator can give credits once."""

import argparse

import pytest
from sqlalchemy import text

from billing import cli
from billing.errors import GrantConflictError, UnknownAccountError
from billing.grants import grant_by_hand
from kit.testing import emitted, records
from shared.events import CreditsGranted, CreditsSettled


async def give(service, account_id, amount, key):
    async with service.db.write() as session:
        return await grant_by_hand(session, account_id=account_id, amount=amount, reason="thanks", key=key)


async def alter(service, statement, **values):
    async with service.db.write() as session:
        await session.execute(text(statement), values)


class TestBurnOrder:
    async def test_gifts_are_spent_before_other_credits(self, billing, make, account_id, rows_of, hold_of):
        await billing.edge.handle(records(make.registered(account_id)))
        await give(billing, account_id, 100_000, "thanks")
        job = make.requested(account_id, input={"n": 4, "quality": "hd", "size": "1792x1024"})
        other = make.requested(account_id, input={"n": 2})
        await billing.edge.handle(records(job, other))

        bonus, adjustment = sorted(await rows_of("grants"), key=lambda grant: grant["source"], reverse=True)
        assert (await hold_of(job.job_id))["funding"] == [[bonus["id"], 48_000]]
        assert (await hold_of(other.job_id))["funding"] == [[bonus["id"], 2_000], [adjustment["id"], 6_000]]
        assert (bonus["remaining"], adjustment["remaining"]) == (0, 94_000)

    async def test_what_is_captured_is_burned_first_and_the_rest_returns_to_its_grant(
        self, billing, make, account_id, rows_of
    ):
        await billing.edge.handle(records(make.registered(account_id)))
        await give(billing, account_id, 10_000, "thanks")
        job = make.requested(account_id, input={"n": 4, "size": "1792x1024", "quality": "hd"})
        short = make.requested(account_id, input={"n": 2})
        await billing.edge.handle(records(job, short))
        await billing.edge.handle(records(make.succeeded(short, make.delivered(0, 4_000))))

        settled = (await emitted(billing.db))[-1]
        assert isinstance(settled, CreditsSettled)
        remaining = {grant["source"]: grant["remaining"] for grant in await rows_of("grants")}
        assert remaining == {"bonus": 0, "adjustment": 8_000}
        earned = [(line.amount, line.grant_id) for line in settled.entries if line.account == "platform.earned"]
        assert [amount for amount, _ in earned] == [2_000, 2_000]
        assert len({grant_id for _, grant_id in earned}) == 2

    async def test_what_expires_first_is_spent_first(self, billing, make, account_id, rows_of):
        await billing.edge.handle(records(make.registered(account_id)))
        await alter(billing, "UPDATE grants SET priority = 90")
        for key, days in (("never", None), ("later", 9), ("soon", 2)):
            await give(billing, account_id, 10_000, key)
            if days:
                moment = "UPDATE grants SET expires_at = now() + make_interval(days => :days) WHERE key = :key"
                await alter(billing, moment, key=key, days=days)
        await billing.edge.handle(records(make.requested(account_id, input={"n": 4})))

        remaining = {grant["key"]: grant["remaining"] for grant in await rows_of("grants")}
        del remaining[f"registration:{account_id}"]
        assert remaining == {"never": 10_000, "later": 4_000, "soon": 0}

    async def test_expired_credits_cannot_be_held(self, billing, make, account_id):
        await billing.edge.handle(records(make.registered(account_id)))
        await alter(billing, "UPDATE grants SET expires_at = now()")
        await billing.edge.handle(records(make.requested(account_id)))

        refused = (await emitted(billing.db))[-1]
        assert (refused.code, refused.available) == ("insufficient_credits", 0)


class TestAdjustment:
    async def test_a_key_grants_once(self, billing, make, account_id, wallet_of):
        await billing.edge.handle(records(make.registered(account_id)))

        assert await give(billing, account_id, 1_500, "k") is True
        assert await give(billing, account_id, 1_500, "k") is False
        assert await wallet_of(account_id) == (51_500, 0)
        granted = (await emitted(billing.db))[-1]
        assert isinstance(granted, CreditsGranted)
        assert (granted.source, granted.amount, granted.wallet_version) == ("adjustment", 1_500, 2)

    async def test_a_key_that_was_used_for_another_grant_is_a_conflict(self, billing, make, account_id, wallet_of):
        await billing.edge.handle(records(make.registered(account_id)))
        await give(billing, account_id, 1_500, "k")

        with pytest.raises(GrantConflictError):
            await give(billing, account_id, 1_501, "k")
        assert await wallet_of(account_id) == (51_500, 0)

    async def test_an_account_that_nobody_told_of_gets_nothing(self, billing, account_id, rows_of):
        with pytest.raises(UnknownAccountError):
            await give(billing, account_id, 1_500, "k")
        assert await rows_of("wallets") == []


class TestCommand:
    @staticmethod
    def parse(*arguments):
        return TestCommand.parse_any("grant", *arguments)

    @staticmethod
    def parse_any(*arguments):
        parser = argparse.ArgumentParser()
        cli.extend(parser.add_subparsers(required=True))
        return parser.parse_args(arguments)

    async def test_it_grants_and_says_so(self, billing, make, account_id, wallet_of, capsys):
        await billing.edge.handle(records(make.registered(account_id)))
        parsed = self.parse("--account", account_id, "--credits", "12.5", "--reason", "sorry", "--key", "ticket-7")

        assert await parsed.run(billing, parsed) == 0
        assert capsys.readouterr().out == "12.5 credits granted\n"
        assert await parsed.run(billing, parsed) == 0
        assert "granted before" in capsys.readouterr().out
        assert await wallet_of(account_id) == (62_500, 0)

    async def test_a_grant_and_an_adjustment_may_have_the_same_key(self, billing, make, account_id, wallet_of):
        await billing.edge.handle(records(make.registered(account_id)))
        for command in ("grant", "adjust"):
            parsed = self.parse_any(command, "--account", account_id, "--credits", "1", "--reason", "x", "--key", "t-7")
            assert await parsed.run(billing, parsed) == 0

        assert await wallet_of(account_id) == (52_000, 0)

    async def test_an_unknown_account_is_told(self, billing, account_id, capsys):
        parsed = self.parse("--account", account_id, "--credits", "1", "--reason", "sorry")

        assert await parsed.run(billing, parsed) == 1
        assert account_id in capsys.readouterr().err

    @pytest.mark.parametrize("amount", ["0", "-5", "0.0001", "many", "1e30", "NaN"])
    def test_amounts_that_are_no_credits_are_refused(self, account_id, amount):
        with pytest.raises(SystemExit):
            self.parse("--account", account_id, "--credits", amount, "--reason", "x")
