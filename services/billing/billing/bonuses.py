"""The daily bonus: credits for signing in, at most once in 24 hours.

Sign-ins may arrive in any order. An account has earned as many bonuses as sign-ins can be picked that are 24 hours
apart; picking the earliest first picks the most, and one more sign-in never makes it fewer. So whatever comes late, no
bonus is ever taken back, and any order ends with the same number.

Of an hour only the first sign-in is remembered, and whichever earned a bonus. So a flood of them costs no more than one
an hour; in order it earns what it always did, and out of order never more.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from billing.grants import give, open_wallets
from billing.models import sign_ins
from billing.terms import Terms
from kit.database import WriteSession
from kit.sql import among
from shared.events import AccountSignedIn

COOLDOWN = timedelta(hours=24)
MEMORY = timedelta(days=35)  # beyond the 30 days for which the inbox knows a redelivered event


async def reward_sign_ins(session: WriteSession, events: Sequence[AccountSignedIn], *, terms: Terms) -> None:
    """Give each account the bonuses that its sign-ins have earned and that it has not got yet."""
    causes = {event.account_id: event for event in events}
    book = await open_wallets(session, causes, bonus=terms.registration_bonus)
    fresh: dict[str, set[datetime]] = defaultdict(set)
    for event in events:
        fresh[event.account_id].add(event.signed_in_at.astimezone(UTC))
    query = select(sign_ins).where(among(sign_ins.c.account_id, fresh))
    rows = {row.account_id: row for row in await session.execute(query)}
    stored = []
    for account_id, times in fresh.items():
        row = rows.get(account_id)
        known, before, given = (row.times, row.bonuses_before, row.bonuses) if row else ([], 0, 0)
        # what is older than all that is remembered was weighed once, or comes too late to be
        weighed = {moment for moment in times if not before or moment >= known[0]}
        remembered, before = forget(thin_out(sorted({*known, *weighed})), before=before)
        if row and remembered == known:
            continue
        earned = before + len(earning(remembered))
        if terms.daily_bonus:
            for ordinal in range(given + 1, earned + 1):
                give(
                    session,
                    book,
                    account_id,
                    key=f"sign-in:{account_id}:{ordinal}",
                    source="bonus",
                    reason="daily sign-in",
                    amount=terms.daily_bonus,
                    cause=causes[account_id],
                )
        stored.append({"account_id": account_id, "times": remembered, "bonuses_before": before, "bonuses": earned})
    await book.write(session)
    if stored:
        await _store(session, stored)


def earning(times: Iterable[datetime]) -> list[datetime]:
    """The sign-ins, of these in ascending order, that earn a bonus."""
    chosen: list[datetime] = []
    for moment in times:
        if not chosen or moment >= chosen[-1] + COOLDOWN:
            chosen.append(moment)
    return chosen


def thin_out(times: Sequence[datetime]) -> list[datetime]:
    """Of these in ascending order, the first of each hour and those that earn a bonus: what earns stays the same."""
    chosen = set(earning(times))
    kept = []
    hour = None
    for moment in times:
        begun = moment.replace(minute=0, second=0, microsecond=0)
        if begun != hour or moment in chosen:
            kept.append(moment)
        hour = begun
    return kept


def forget(times: Sequence[datetime], *, before: int) -> tuple[list[datetime], int]:
    """Drop sign-ins that are too old to matter, up to one that earned: what follows from it stays as it was."""
    if not times:
        return [], before
    horizon = times[-1] - MEMORY
    chosen = earning(times)
    settled = [moment for moment in chosen if moment <= horizon]
    if not settled:
        return list(times), before
    return [moment for moment in times if moment >= settled[-1]], before + len(settled) - 1


async def _store(session: WriteSession, rows: list[dict[str, Any]]) -> None:
    upsert = insert(sign_ins)
    changes = {name: upsert.excluded[name] for name in ("times", "bonuses_before", "bonuses")}
    await session.execute(upsert.on_conflict_do_update(index_elements=[sign_ins.c.account_id], set_=changes), rows)
