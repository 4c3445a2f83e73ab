"""The statement of one account for one calendar month (UTC), as data and as CSV."""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Self

from sqlalchemy import func, select

from billing.models import entries, transactions
from billing.schemas import Balance, Movement, Statement
from billing.statements import credits_as_of
from kit.database import ReadSession

COLUMNS = ("at", "kind", "reference", "job_id", "available", "held", "available_after", "held_after")


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month; written ``2026-11``."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError when the text is not a month."""
        moment = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        return cls(moment.year, moment.month)

    @property
    def starts(self) -> datetime:
        """The first moment of the month."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def ends(self) -> datetime:
        """The first moment of the next month."""
        return datetime(self.year + self.month // 12, self.month % 12 + 1, 1, tzinfo=UTC)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"


async def statement_of(session: ReadSession, *, account_id: str, month: Month) -> Statement:
    """Opening balance, every movement, totals per ledger account, closing balance."""
    within = (
        (transactions.c.account_id == account_id)
        & (transactions.c.created_at >= month.starts)
        & (transactions.c.created_at < month.ends)
    )
    rows = (await session.execute(select(transactions).where(within).order_by(transactions.c.wallet_version))).all()
    before = await credits_as_of(session, account_id=account_id, moment=month.starts, inclusive=False)
    opening = Balance(available=before.available, held=before.held)
    snapshots = [opening, *(Balance(available=row.available, held=row.held) for row in rows)]
    movements = [
        Movement(
            at=row.created_at,
            kind=row.kind,
            reference=row.key,
            job_id=row.job_id,
            available=now.available - then.available,
            held=now.held - then.held,
            available_after=now.available,
            held_after=now.held,
        )
        for row, (then, now) in zip(rows, pairwise(snapshots), strict=True)
    ]
    seen = within & (
        transactions.c.wallet_version <= (rows[-1].wallet_version if rows else 0)
    )  # more may come meanwhile
    sums = (
        select(entries.c.account, func.sum(entries.c.amount))
        .join(transactions, transactions.c.id == entries.c.transaction_id)
        .where(seen)
        .group_by(entries.c.account)
        .order_by(entries.c.account)
    )
    return Statement(
        month=str(month),
        account_id=account_id,
        opening=opening,
        closing=snapshots[-1],
        totals={account: int(total) for account, total in await session.execute(sums)},
        movements=movements,
    )


def as_csv(statement: Statement) -> str:
    """The movements between an opening and a closing line; amounts in milli-credits."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerow(_balance_row("opening", statement.opening))
    for movement in statement.movements:
        row = movement.model_dump(mode="json")
        writer.writerow([row[column] for column in COLUMNS])
    writer.writerow(_balance_row("closing", statement.closing))
    return text.getvalue()


def _balance_row(kind: str, balance: Balance) -> list[str | int]:
    return ["", kind, "", "", "", "", balance.available, balance.held]
