"""The statement of one account for one calendar month (UTC), as data and as CSV.

A month may have any number of movements, so they are read in pages, each in a short transaction of its own. What the
pages belong to is fixed before the first of them: the wallet versions of the month, as they are when it is asked for.
Versions leave none out and the ledger is append-only, so what is booked meanwhile changes nothing of them, and belongs
to the next statement that is asked for.
"""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import ColumnElement, func, select, union_all

from billing.errors import statement_too_long
from billing.models import entries, transactions
from billing.schemas import Balance, Movement, Statement
from billing.statements import last_booked
from kit.database import Database

PAGE = 1_000
MOST = 10_000
"""Movements of a month that is told as one JSON document, which takes about 2 kB of memory for each."""
AT_A_TIME = 4
"""Such documents in the making, in one process."""
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


@dataclass(frozen=True, slots=True)
class _Mark:
    """A wallet as one of its versions left it."""

    version: int = 0
    available: int = 0
    held: int = 0

    @property
    def balance(self) -> Balance:
        return Balance(available=self.available, held=self.held)


@dataclass(frozen=True, slots=True)
class _Span:
    """The movements of an account that follow ``opening``, up to the one that left ``closing``."""

    account_id: str
    opening: _Mark
    closing: _Mark

    def __len__(self) -> int:
        return self.closing.version - self.opening.version

    def after(self, version: int) -> ColumnElement[bool]:
        """The condition that a transaction is one of these, and came after a version."""
        return (transactions.c.account_id == self.account_id) & transactions.c.wallet_version.between(
            version + 1, self.closing.version
        )


class Statements:
    """Reads the statements of a month. Nobody who calls it may have a session open."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._turns = asyncio.Semaphore(AT_A_TIME)

    async def whole(self, *, account_id: str, month: Month) -> Statement:
        """Opening balance, every movement, totals per ledger account, closing balance. Raises Problem 422."""
        span = await self._span(account_id, month)
        if len(span) > MOST:
            raise statement_too_long(len(span), MOST)
        async with self._turns:
            return Statement(
                month=str(month),
                account_id=account_id,
                opening=span.opening.balance,
                closing=span.closing.balance,
                totals=await self._totals(span),
                movements=[movement async for page in self._pages(span) for movement in page],
            )

    async def as_csv(self, *, account_id: str, month: Month) -> AsyncIterator[str]:
        """The movements between an opening and a closing line, in parts; amounts in milli-credits.

        A text that broke off has no closing line.
        """
        return self._csv(await self._span(account_id, month))

    async def _csv(self, span: _Span) -> AsyncIterator[str]:
        yield _lines([COLUMNS, _balance_row("opening", span.opening)])
        async for page in self._pages(span):
            rows = [movement.model_dump(mode="json") for movement in page]
            yield _lines([[row[column] for column in COLUMNS] for row in rows])
        yield _lines([_balance_row("closing", span.closing)])

    async def _span(self, account_id: str, month: Month) -> _Span:
        """One statement reads both ends, so that no transaction can come between them."""
        ends = [
            select(last_booked(account_id, transactions.c.created_at < moment).subquery())
            for moment in (month.starts, month.ends)
        ]
        async with self._db.place(of=account_id), self._db.read() as session:
            rows = (await session.execute(union_all(*ends).order_by("wallet_version"))).all()
        marks = [_Mark(row.wallet_version, row.available, row.held) for row in rows]
        opening, closing = [_Mark(), _Mark(), *marks][-2:]  # before its first transaction a wallet is empty
        return _Span(account_id, opening, closing)

    async def _pages(self, span: _Span) -> AsyncIterator[list[Movement]]:
        then = span.opening
        while then.version < span.closing.version:
            page = (
                select(transactions).where(span.after(then.version)).order_by(transactions.c.wallet_version).limit(PAGE)
            )
            async with self._db.place(of=span.account_id), self._db.read() as session:
                rows = (await session.execute(page)).all()
            movements = []
            for row in rows:
                now = _Mark(row.wallet_version, row.available, row.held)
                movements.append(_movement(row, then, now))
                then = now
            yield movements

    async def _totals(self, span: _Span) -> dict[str, int]:
        sums = (
            select(entries.c.account, func.sum(entries.c.amount))
            .join(transactions, transactions.c.id == entries.c.transaction_id)
            .where(span.after(span.opening.version))
            .group_by(entries.c.account)
            .order_by(entries.c.account)
        )
        async with self._db.place(of=span.account_id), self._db.read() as session:
            return {account: int(total) for account, total in await session.execute(sums)}


def _movement(row: Any, then: _Mark, now: _Mark) -> Movement:
    return Movement(
        at=row.created_at,
        kind=row.kind,
        reference=row.key,
        job_id=row.job_id,
        available=now.available - then.available,
        held=now.held - then.held,
        available_after=now.available,
        held_after=now.held,
    )


def _lines(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _balance_row(kind: str, balance: _Mark) -> list[str | int]:
    return ["", kind, "", "", "", "", balance.available, balance.held]
