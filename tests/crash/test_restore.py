"""The restore drill: a service's database is backed up under load, destroyed, and comes back; nothing is lost."""

import asyncio
import itertools
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crash.crowd import Customer, Wish, command, enter
from crash.faults import all_ready
from crash.verdict import is_quiet, judge, rows
from devstack.stack import Stack, own_stack
from kit.testing import eventually

pytestmark = pytest.mark.timeout(600)

MARGIN = timedelta(minutes=10)
SECONDS_BETWEEN_JOBS = 0.2


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole system, which nobody else uses."""
    with own_stack(tmp_path_factory.mktemp("restore")) as stack:
        yield stack


class TestRestore:
    async def test_billing_restored_from_a_backup_under_load_has_every_wallet_exact_again(
        self, system: Stack, tmp_path: Path
    ) -> None:
        customer = await enter(system, 0)
        dump = tmp_path / "billing.dump"
        async with _load(customer) as answered:
            await eventually(lambda: _settled(system, 10), timeout=120)
            moment = datetime.now(UTC)
            await asyncio.to_thread(_back_up, system, "billing", dump)
            await eventually(lambda: _settled(system, 20), timeout=120)

            await asyncio.to_thread(system.service("billing").kill)
            had = await _transactions(system)
            await asyncio.to_thread(_destroy, system, "billing")
            await eventually(lambda goal=len(answered) + 3: len(answered) >= goal, timeout=120)
            await asyncio.to_thread(_restore, system, "billing", dump)
            assert 0 < await _transactions(system) < had
            told = await command(system, "billing", "rewind", "--to", (moment - MARGIN).isoformat())
            assert "partitions will be read again" in told
            system.service("billing").start()
            await all_ready(system.parts)

            await eventually(lambda goal=len(answered) + 5: _settled(system, goal), timeout=120)
        await eventually(lambda: is_quiet(system), timeout=120)
        verdict = await judge(system, [customer])
        await customer.http.aclose()

        assert verdict.faults == []
        assert verdict.numbers["statuses"] == {"succeeded": len(customer.accepted)}


@asynccontextmanager
async def _load(customer: Customer) -> AsyncIterator[list[str]]:
    """Jobs one after the other until the block ends; the list is of those that were accepted."""
    answered: list[str] = []
    stopping = asyncio.Event()

    async def ask() -> None:
        for number in itertools.count():
            if stopping.is_set():
                return
            wish = Wish(
                number, 0, 0.0, "[[twin:flat]]", n=1 + number % 2, cancel_after=None, deliver=False, twice=False
            )
            await customer.grant(wish)
            answered.append(customer.accepted[wish.key])
            await asyncio.sleep(SECONDS_BETWEEN_JOBS)

    task = asyncio.create_task(ask())
    try:
        yield answered
    finally:
        stopping.set()
        await task


def _back_up(system: Stack, name: str, dump: Path) -> None:
    _postgres(system, "pg_dump", "--format=custom", f"--file={dump}", system.infra.postgres.dsn(name))


def _destroy(system: Stack, name: str) -> None:
    system.infra.postgres.drop_database(name)


def _restore(system: Stack, name: str, dump: Path) -> None:
    system.infra.postgres.create_database(name, system.credentials.postgres[name])
    target = system.infra.postgres.dsn(name)
    _postgres(system, "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={target}", str(dump))


def _postgres(system: Stack, program: str, *arguments: str) -> None:
    """Run one of the programs that come with the server."""
    folder = Path(system.infra.postgres.command()[0]).parent
    done = subprocess.run([folder / program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def _settled(system: Stack, number: int) -> bool:
    counted = await rows(system, "gateway", "SELECT count(*) FROM jobs WHERE captured IS NOT NULL")
    return counted[0][0] >= number


async def _transactions(system: Stack) -> int:
    return (await rows(system, "billing", "SELECT count(*) FROM transactions"))[0][0]
