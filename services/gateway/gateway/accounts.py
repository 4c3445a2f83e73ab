"""Accounts: who uses Atelier. New ones and signing in are told to the other services; billing answers with credits."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from gateway.errors import EmailInUseError, UnknownAccountError
from gateway.models import accounts
from kit import outbox
from kit.database import ReadSession, WriteSession
from kit.leases import now_plus
from kit.sql import affected
from shared.events import AccountRegistered, AccountSignedIn
from shared.ids import new_id

SIGN_INS_TOLD_EVERY = timedelta(hours=1)
"""Whoever signs in again and again writes no event without end; a daily bonus may come that much later."""

ACCOUNT = (accounts.c.id, accounts.c.email, accounts.c.created_at)
"""The columns of an :class:`Account`."""


@dataclass(frozen=True, slots=True)
class Account:
    """A customer."""

    id: str
    email: str
    created_at: datetime


async def register(session: WriteSession, *, email: str) -> Account:
    """Make an account. Raises EmailInUseError, also when two try at the same time."""
    account = Account(id=new_id("acc"), email=email.strip().lower(), created_at=datetime.now(UTC))
    inserted = await session.execute(
        insert(accounts)
        .values(asdict(account))
        .on_conflict_do_nothing(index_elements=["email"])
        .returning(accounts.c.id)
    )
    if inserted.one_or_none() is None:
        raise EmailInUseError(account.email)
    outbox.add(session, AccountRegistered(account_id=account.id, email=account.email, registered_at=account.created_at))
    return account


async def note_sign_in(session: WriteSession, *, account_id: str) -> None:
    """Tell, once an hour, that somebody has signed in to an account; whether that earns a bonus is billing's to say."""
    is_due = func.coalesce(accounts.c.sign_in_told_at <= now_plus(-SIGN_INS_TOLD_EVERY.total_seconds()), True)
    told = update(accounts).where(accounts.c.id == account_id, is_due).values(sign_in_told_at=func.now())
    if await affected(session, told):
        outbox.add(session, AccountSignedIn(account_id=account_id, signed_in_at=datetime.now(UTC)))


async def get_account(session: ReadSession | WriteSession, *, account_id: str) -> Account:
    """The account with this id. Raises UnknownAccountError."""
    row = (await session.execute(select(*ACCOUNT).where(accounts.c.id == account_id))).one_or_none()
    if row is None:
        raise UnknownAccountError(account_id)
    return Account(*row)
