"""Setting, changing and removing spend limits, under the lock of the account's wallet."""

from datetime import datetime

from sqlalchemy import delete, func, insert, select, update

from billing.errors import spend_limit_exists, spend_limit_not_found, too_many_spend_limits
from billing.grants import open_wallets
from billing.models import spend_limits, wallets
from billing.spend_guard import limits_of, store_limits
from billing.spend_limits import Measure, Period, SpendLimit, period_start
from kit.database import WriteSession
from shared.ids import new_id

MAX_LIMITS = 50


async def set_limit(
    session: WriteSession,
    *,
    account_id: str,
    api_key_id: str | None,
    campaign_id: str | None,
    measure: Measure,
    period: Period,
    cap: int,
    bonus: int,
) -> tuple[SpendLimit, datetime]:
    """A new limit, and the time it was set. Raises Problem 409 when there is one of its kind, or too many."""
    limits, now = await _locked(session, account_id, bonus=bonus)
    asked = (api_key_id, campaign_id, measure, period)
    if any((limit.api_key_id, limit.campaign_id, limit.measure, limit.period) == asked for limit in limits):
        raise spend_limit_exists()
    if len(limits) >= MAX_LIMITS:
        raise too_many_spend_limits(MAX_LIMITS)
    limit = SpendLimit(
        id=new_id("cap"),
        account_id=account_id,
        api_key_id=api_key_id,
        campaign_id=campaign_id,
        measure=measure,
        period=period,
        cap=cap,
        period_start=period_start(period, now),
        used=0,
        told=0,
        reached_at=None,
    )
    row = {column.name: getattr(limit, column.name) for column in spend_limits.c if column.name != "created_at"}
    await session.execute(insert(spend_limits).values(row))
    await _mark(session, account_id, guarded=True)
    return limit, now


async def change_cap(
    session: WriteSession, *, account_id: str, limit_id: str, cap: int, bonus: int
) -> tuple[SpendLimit, datetime]:
    """The limit with its new cap. Raises Problem 404."""
    limits, now = await _locked(session, account_id, bonus=bonus)
    limit = next((limit for limit in limits if limit.id == limit_id), None)
    if limit is None:
        raise spend_limit_not_found(limit_id)
    limit.change_cap(cap, now)
    await store_limits(session, [limit])
    return limit, now


async def remove_limit(session: WriteSession, *, account_id: str, limit_id: str, bonus: int) -> None:
    """Raises Problem 404."""
    limits, _ = await _locked(session, account_id, bonus=bonus)
    if limit_id not in {limit.id for limit in limits}:
        raise spend_limit_not_found(limit_id)
    await session.execute(delete(spend_limits).where(spend_limits.c.id == limit_id))
    await _mark(session, account_id, guarded=len(limits) > 1)


async def _locked(session: WriteSession, account_id: str, *, bonus: int) -> tuple[list[SpendLimit], datetime]:
    """The limits of an account as no one else can change them now."""
    book = await open_wallets(session, {account_id: None}, bonus=bonus)
    await book.write(session)
    limits, _ = await limits_of(session, [account_id])
    now = await session.scalar(select(func.now()))
    assert now is not None
    return limits, now


async def _mark(session: WriteSession, account_id: str, *, guarded: bool) -> None:
    """Tell the hold whether there are limits to look for."""
    await session.execute(update(wallets).where(wallets.c.account_id == account_id).values(guarded=guarded))
