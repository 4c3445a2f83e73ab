"""Billing is killed with ``kill -9`` at any point of 500 holds and settlements: the ledger is exact all the same."""

import asyncio
import json
import logging
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import text

from billing.app import build
from billing.reconcile import reconcile
from billing.settings import BillingSettings
from kit import invariants, testing
from kit.testing import emitted, records
from shared.events import CreditsHeld, CreditsSettled
from shared.ids import new_id

log = logging.getLogger(__name__)

PROGRAM = Path(__file__).with_name("killed.py")
JOBS, ACCOUNTS = 500, 10
CREDITS = 1_000
POINTS = 1_200  # every life gets somewhere, and ends anywhere


@pytest.fixture
async def billing(stack):
    async with testing.service(
        "billing", BillingSettings, build, stack, registration_credits=CREDITS, hold_grace=3600
    ) as service:
        yield service


def outcome_of(chaos, make, job):
    """A job's end: all of it, a part, nothing, or cancelled; with what is owed for it."""
    delivered = [make.delivered(item, price) for item, price in enumerate(job.item_prices)]
    kind = chaos.choice(["all", "part", "none", "cancelled"])
    if kind == "all":
        return make.succeeded(job, *delivered), job.price
    lost = [make.failed(item, "outcome_unknown", loss=700) for item in range(1, job.items)]
    if kind == "part":
        return make.succeeded(job, delivered[0], *lost), job.item_prices[0]
    if kind == "none":
        return make.job_failed(job, make.failed(0, "provider_fault")), 0
    return make.cancelled(job, *delivered[:1]), job.item_prices[0]


class Lives:
    """One life of billing after the other."""

    def __init__(self, settings, messages, folder):
        self._file, self._offset = folder / "records.jsonl", folder / "offset"
        self._file.write_text("\n".join(self._line(message) for message in messages))
        self._environment = os.environ | {
            "BILLING_ENVIRONMENT": "development",
            "BILLING_HTTP_PORT": "1",
            "BILLING_DATABASE_URL": settings.database_url.get_secret_value(),
            "BILLING_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "BILLING_IDENTITY_PUBLIC_KEY": settings.identity_public_key,
            "BILLING_REGISTRATION_CREDITS": str(CREDITS),
        }

    @staticmethod
    def _line(message):
        headers = [(name, value.decode()) for name, value in message.headers]
        line = {"topic": message.topic, "key": message.key.decode(), "value": message.value.decode()}
        return json.dumps(line | {"headers": headers})

    async def live(self, *, die_at):
        """Run until death or the end; the signal that ended it, or 0."""
        arguments = (str(PROGRAM), str(self._file), str(self._offset), str(die_at))
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, env=self._environment)
        return -await process.wait()


@pytest.mark.slow
@pytest.mark.timeout(300)
class TestKill:
    async def test_every_job_has_one_hold_and_one_settlement_and_the_ledger_is_exact(self, billing, make, tmp_path):
        seed = random.SystemRandom().randrange(10**6)
        log.warning("seed %s", seed)
        chaos = random.Random(seed)
        accounts = [new_id("acc") for _ in range(ACCOUNTS)]
        jobs = [make.requested(chaos.choice(accounts), input={"n": chaos.randint(1, 4)}) for _ in range(JOBS)]
        ends = [outcome_of(chaos, make, job) for job in jobs]
        lives = Lives(billing.settings, shuffled(chaos, records(*jobs), records(*(end for end, _ in ends))), tmp_path)

        deaths = 0
        while await lives.live(die_at=chaos.randint(1, POINTS)) == signal.SIGKILL:
            deaths += 1

        assert deaths >= 3
        events = await emitted(billing.db)
        for kind in (CreditsHeld, CreditsSettled):
            assert Counter(event.job_id for event in events if isinstance(event, kind)) == {
                job.job_id: 1 for job in jobs
            }
        async with billing.db.read() as session:
            query = "SELECT kind, job_id, count(*) FROM transactions WHERE job_id IS NOT NULL GROUP BY kind, job_id"
            booked = {(kind, job_id): count for kind, job_id, count in await session.execute(text(query))}
            wallets = dict(
                (await session.execute(text("SELECT account_id, (available, held)::text FROM wallets"))).all()
            )
            assert await reconcile(session) == []
        assert booked == {(kind, job.job_id): 1 for kind in ("hold", "settle") for job in jobs}
        spent = Counter()
        for job, (_, owed) in zip(jobs, ends, strict=True):
            spent[job.account_id] += owed
        assert wallets == {account: f"({CREDITS * 1_000 - spent[account]},0)" for account in accounts}
        assert await invariants.check(billing.db, billing.all_invariants) == []


def shuffled(chaos, requests, outcomes):
    """Requests in their order; each outcome somewhere near its request, before it or after it."""
    places = [(number, message) for number, message in enumerate(requests)]
    places += [(number + chaos.uniform(-3, 60), message) for number, message in enumerate(outcomes)]
    return [message for _, message in sorted(places, key=lambda place: place[0])]
