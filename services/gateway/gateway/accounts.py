"""Accounts: who uses Atelier. New ones and signing in are told to the other services; billing answers with credits."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from gateway.errors import EmailInUseError, UnknownAccountError
from gateway.models import accounts
from kit import outbox
from kit.database import ReadSession, WriteSession
from shared.events import AccountRegistered, AccountSignedIn
from shared.ids import new_id


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
    """Tell that somebody has signed in to an account; whether that earns a bonus is billing's to say."""
    await session.execute(select(accounts.c.id).where(accounts.c.id == account_id).with_for_update(key_share=True))
    outbox.add(session, AccountSignedIn(account_id=account_id, signed_in_at=datetime.now(UTC)))


async def get_account(session: ReadSession | WriteSession, *, account_id: str) -> Account:
    """The account with this id. Raises UnknownAccountError."""
    row = (await session.execute(select(accounts).where(accounts.c.id == account_id))).one_or_none()
    if row is None:
        raise UnknownAccountError(account_id)
    return Account(*row)
