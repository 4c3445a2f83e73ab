"""What the page reads from gateway's own read model, besides what the API reads."""

from typing import Any

from sqlalchemy import select

from gateway.models import balances
from kit.database import ReadSession


async def balance_of(session: ReadSession, *, account_id: str) -> Any:
    """The row of the wallet as billing last told it; None before it told anything."""
    return (await session.execute(select(balances).where(balances.c.account_id == account_id))).one_or_none()
