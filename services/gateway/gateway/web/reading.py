"""What the page reads from gateway's own read model, besides what the API reads."""

from typing import Any

from sqlalchemy import select

from gateway.models import balances
from gateway.schemas import JobView
from kit.database import ReadSession

SHOWN_INPUTS = ("prompt", "size", "quality", "n")
"""What the templates tell of a job's input."""


async def balance_of(session: ReadSession, *, account_id: str) -> Any:
    """The row of the wallet as billing last told it; None before it told anything."""
    return (await session.execute(select(balances).where(balances.c.account_id == account_id))).one_or_none()


def view_of(row: Any) -> JobView:
    """A job as the page shows it: what its input lacks is None, as all of it does in a job known by events alone."""
    job = JobView.of(row)
    return job.model_copy(update={"input": dict.fromkeys(SHOWN_INPUTS) | job.input})
