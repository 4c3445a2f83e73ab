"""What the page reads from gateway's own read model, besides what the API reads."""

from sqlalchemy import select

from gateway.models import Balance, balances
from kit.database import ReadSession


async def balance_of(session: ReadSession, *, account_id: str) -> Balance | None:
    """The wallet as billing last told it; None before it told anything."""
    return (await session.execute(select(Balance).where(balances.c.account_id == account_id))).scalar_one_or_none()
