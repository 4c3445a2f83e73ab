"""The log of an account's deliveries, and the wish to have one made again."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, case, func, or_, select, update

from kit.database import ReadSession, WriteSession
from publishing.errors import delivery_not_found, delivery_not_ready
from publishing.models import attempts, deliveries

AnyRow = Row[tuple[Any, ...]]


async def list_deliveries(
    session: ReadSession, *, account_id: str, job_id: str | None, state: str | None, before: str | None, limit: int
) -> Sequence[AnyRow]:
    """Deliveries of an account, newest first."""
    query = select(deliveries).where(deliveries.c.account_id == account_id)
    if job_id is not None:
        query = query.where(deliveries.c.job_id == job_id)
    if state is not None:
        query = query.where(deliveries.c.state == state)
    if before is not None:
        query = query.where(deliveries.c.id < before)
    return (await session.execute(query.order_by(deliveries.c.id.desc()).limit(limit))).all()


async def get_delivery(session: ReadSession | WriteSession, *, account_id: str, delivery_id: str) -> AnyRow:
    """One delivery of an account. Raises Problem 404."""
    query = select(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.account_id == account_id)
    row: AnyRow | None = (await session.execute(query)).one_or_none()
    if row is None:
        raise delivery_not_found()
    return row


async def attempts_of(session: ReadSession | WriteSession, *, delivery_id: str) -> Sequence[AnyRow]:
    """Every attempt of a delivery, in order."""
    query = select(attempts).where(attempts.c.delivery_id == delivery_id).order_by(attempts.c.number)
    return (await session.execute(query)).all()


async def redeliver(session: WriteSession, *, account_id: str, delivery_id: str) -> None:
    """Make a delivery due now, with a fresh schedule if it had ended. One that is being made is left alone.

    Raises Problem 404 and 409.
    """
    row = await get_delivery(session, account_id=account_id, delivery_id=delivery_id)
    if row.state == "waiting":
        raise delivery_not_ready()
    table = deliveries.c
    idle = or_(table.leased_until.is_(None), table.leased_until < func.now())
    had_ended = table.state != "delivering"
    await session.execute(
        update(deliveries)
        .where(table.id == delivery_id, idle)
        .values(
            state="delivering",
            due_at=func.now(),
            ended_at=None,
            attempts=0,
            failures=case((had_ended, 0), else_=table.failures),
        )
    )
