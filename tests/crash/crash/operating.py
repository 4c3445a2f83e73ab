"""What an operator's commands do to a running system, without a process for each."""

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import gateway.accounts
import gateway.keys
from devstack.credentials import SERVICES
from devstack.stack import Stack
from kit import invariants, outbox
from kit.database import Database


@asynccontextmanager
async def database(stack: Stack, service: str) -> AsyncIterator[Database]:
    """A service's database, as its own commands open it; events written here are sent by the running relay."""
    db = Database(stack.infra.postgres.url(service), name="operator", pool_size=2)
    db.before_commit(outbox.flush)
    try:
        yield db
    finally:
        await db.close()


async def register(stack: Stack, email: str, *, signs_in: bool = False) -> tuple[str, str]:
    """A new account: its id and API key. Signing in earns the daily bonus."""
    async with database(stack, "gateway") as db, db.write() as session:
        account = await gateway.accounts.register(session, email=email)
        if signs_in:
            await gateway.accounts.note_sign_in(session, account_id=account.id)
        key = await gateway.keys.create_key(session, account_id=account.id, name="first key")
    return account.id, key.secret


async def violations(stack: Stack) -> dict[str, list[str]]:
    """The invariants that do not hold now, by service; empty when all hold."""
    found = {}
    for service in SERVICES:
        module = importlib.import_module(f"{service}.invariants")
        async with database(stack, service) as db:
            broken = await invariants.check(db, (*invariants.KERNEL, *module.INVARIANTS))
        if broken:
            found[service] = [f"{violation.invariant.fact} {violation.sample}" for violation in broken]
    return found
