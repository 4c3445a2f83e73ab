"""The restore drill: a service's database is backed up under load, destroyed, and comes back; nothing is lost."""

import asyncio
import itertools
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from crash.crowd import Customer, Wish, command, enter
from crash.faults import all_ready
from crash.verdict import is_quiet, judge, rows
from devstack.stack import Stack, own_stack
from kit.testing import eventually

pytestmark = pytest.mark.timeout(900)

MARGIN = timedelta(minutes=10)
SECONDS_BETWEEN_JOBS = 0.2
POOR = 3  # the number of a customer who starts with the bonus alone
LATE_CREDITS = 1000
JOBS_BEYOND_THE_BONUS = 6  # of four pictures each: 96 credits, where the bonus is 60


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole system, which nobody else uses."""
    with own_stack(tmp_path_factory.mktemp("restore")) as stack:
        yield stack


class TestRestore:
    async def test_billing_restored_from_a_backup_under_load_has_every_wallet_exact_again(
        self, system: Stack, tmp_path: Path
    ) -> None:
        customer, late = await enter(system, 0), await enter(system, POOR)
        dump = tmp_path / "billing.dump"
        async with _load(customer) as answered:
            await eventually(lambda: _settled(system, 10), timeout=120)
            moment = datetime.now(UTC)
            await asyncio.to_thread(_back_up, system, "billing", dump)
            await _give(system, late)
            for number in range(JOBS_BEYOND_THE_BONUS):
                await late.grant(_wish(number, n=4))
            await eventually(lambda: _settled(system, len(late.accepted), of=late), timeout=120)
            await eventually(lambda: _settled(system, 20), timeout=120)

            await asyncio.to_thread(system.service("billing").kill)
            had = await _transactions(system)
            await asyncio.to_thread(_destroy, system, "billing")
            await eventually(lambda goal=len(answered) + 3: len(answered) >= goal, timeout=120)
            await asyncio.to_thread(_restore, system, "billing", dump)
            assert 0 < await _transactions(system) < had
            await _give(system, late)  # first: its jobs are read again, and must find the credits that paid for them
            told = await command(system, "billing", "rewind", "--to", (moment - MARGIN).isoformat())
            assert "partitions will be read again" in told
            system.service("billing").start()
            await all_ready(system.parts)

            await eventually(lambda goal=len(answered) + 5: _settled(system, goal), timeout=120)
        await eventually(lambda: is_quiet(system), timeout=120)
        verdict = await judge(system, [customer, late])
        for one in (customer, late):
            await one.http.aclose()

        assert verdict.faults == []
        assert verdict.numbers["statuses"] == {"succeeded": len(customer.accepted) + len(late.accepted)}


@asynccontextmanager
async def _load(customer: Customer) -> AsyncIterator[list[str]]:
    """Jobs one after the other until the block ends; the list is of those that were accepted."""
    answered: list[str] = []
    stopping = asyncio.Event()

    async def ask() -> None:
        for number in itertools.count():
            if stopping.is_set():
                return
            wish = _wish(number, n=1 + number % 2)
            await customer.grant(wish)
            answered.append(customer.accepted[wish.key])
            await asyncio.sleep(SECONDS_BETWEEN_JOBS)

    task = asyncio.create_task(ask())
    try:
        yield answered
    finally:
        stopping.set()
        await task


def _wish(number: int, *, n: int) -> Wish:
    return Wish(number, 0, 0.0, "[[twin:flat]]", n=n, cancel_after=None, deliver=False, twice=False)


async def _give(system: Stack, customer: Customer) -> None:
    """An operator's grant; repeated under its key it is the same one."""
    grant = ("grant", "--account", customer.account_id, "--credits", str(LATE_CREDITS), "--reason", "drill")
    await command(system, "billing", *grant, "--key", "drill")
    customer.granted = LATE_CREDITS * 1000


def _back_up(system: Stack, name: str, dump: Path) -> None:
    _postgres(system, "pg_dump", "--format=custom", f"--file={dump}", system.infra.postgres.dsn(name))


def _destroy(system: Stack, name: str) -> None:
    system.infra.postgres.drop_database(name)


def _restore(system: Stack, name: str, dump: Path) -> None:
    system.infra.postgres.create_database(name, system.credentials.postgres[name])
    target = urlsplit(system.infra.postgres.admin_dsn)._replace(path=f"/{name}").geturl()
    options = ("--no-owner", f"--role={name}", "--exit-on-error")
    _postgres(system, "pg_restore", *options, f"--dbname={target}", str(dump))


def _postgres(system: Stack, program: str, *arguments: str) -> None:
    """Run one of the programs that come with the server."""
    folder = Path(system.infra.postgres.command()[0]).parent
    done = subprocess.run([folder / program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def _settled(system: Stack, number: int, *, of: Customer | None = None) -> bool:
    whose = f" AND account_id = '{of.account_id}'" if of else ""
    counted = await rows(system, "gateway", f"SELECT count(*) FROM jobs WHERE captured IS NOT NULL{whose}")
    return counted[0][0] >= number


async def _transactions(system: Stack) -> int:
    return (await rows(system, "billing", "SELECT count(*) FROM transactions"))[0][0]
