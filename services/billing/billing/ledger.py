"""The ledger: append-only double entry, and the one way to change a wallet.

A :class:`Book` is the wallets of one database transaction, locked in id order, with the grants that can pay. Postings
change it in memory; :meth:`Book.write` stores all of them with a fixed number of statements, however many jobs or
accounts there are. A wallet changes by its entries alone, so it equals them by construction.
"""

import hashlib
import json
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import func, insert, or_, select, text

from billing.models import grant_expiries, grants, transactions, wallets
from kit.database import WriteSession
from kit.sql import among
from shared.events.credits import LedgerLine
from shared.ids import new_id

AVAILABLE = "customer.available"
HELD = "customer.held"
EARNED = "platform.earned"
EXPIRED = "platform.expired"
LOSS = "platform.loss"

_OPEN = text(
    "INSERT INTO wallets (account_id) SELECT unnest(CAST(:accounts AS text[]))"
    " ON CONFLICT DO NOTHING RETURNING account_id"
)
_WRITE_ENTRIES = text(  # all in one statement, because the database checks the sums statement by statement
    "INSERT INTO entries (transaction_id, line, account, amount, grant_id)"
    " SELECT * FROM unnest(CAST(:transactions AS text[]), CAST(:lines AS smallint[]), CAST(:accounts AS text[]),"
    " CAST(:amounts AS bigint[]), CAST(:grants AS text[]))"
)
_WRITE_WALLETS = text(
    "UPDATE wallets SET available = n.available, held = n.held, version = n.version, debt = n.debt"
    " FROM unnest(CAST(:accounts AS text[]), CAST(:available AS bigint[]), CAST(:held AS bigint[]),"
    " CAST(:versions AS bigint[]), CAST(:debts AS bigint[])) AS n(account_id, available, held, version, debt)"
    " WHERE wallets.account_id = n.account_id"
)
_WRITE_GRANTS = text(
    "UPDATE grants SET remaining = grants.remaining + n.change, expired = grants.expired + n.expired"
    " FROM unnest(CAST(:grants AS text[]), CAST(:changes AS bigint[]), CAST(:expired AS bigint[]))"
    " AS n(id, change, expired) WHERE grants.id = n.id"
)

Funding = list[tuple[str, int]]
"""Which grants pay and how much each, in burn order."""


@dataclass(slots=True)
class Wallet:
    """A locked wallet as this transaction leaves it.

    ``debt`` is what a clawback found no credits for. While there is one, no grant has anything left to spend.
    ``guarded``: there are spend limits to look for.
    """

    account_id: str
    available: int
    held: int
    version: int
    debt: int
    guarded: bool


@dataclass(slots=True)
class Grant:
    """A grant that can pay, and what is left of it."""

    id: str
    remaining: int
    priority: int
    expires_at: datetime | None

    @property
    def burn_order(self) -> tuple[int, bool, float, str]:
        """Priority, then what expires first, then age: ids rise with time."""
        expiry = self.expires_at.timestamp() if self.expires_at else 0.0
        return self.priority, self.expires_at is None, expiry, self.id


class Book:
    """The wallets of one database transaction, and what is posted to them."""

    def __init__(self, wallets: Iterable[Wallet], *, opened: Sequence[str]) -> None:
        self.opened = opened
        self.expired_grants: set[str] = set()
        self._wallets = {wallet.account_id: wallet for wallet in wallets}
        self._purses: dict[str, list[Grant]] = defaultdict(list)
        self._grants: dict[str, Grant] = {}
        self._new_grants: list[dict[str, Any]] = []
        self._changes: Counter[str] = Counter()
        self._expired: Counter[str] = Counter()
        self._touched: dict[str, Wallet] = {}
        self._transactions: list[dict[str, Any]] = []
        self._entries: list[tuple[str, int, LedgerLine]] = []

    @classmethod
    async def open(cls, session: WriteSession, account_ids: Iterable[str]) -> Self:
        """Lock the wallets of these accounts, making those that are missing; ``opened`` names the new ones."""
        accounts = sorted(set(account_ids))
        opened: Sequence[str] = ()
        if not (locked := await _lock(session, accounts)):
            opened = (await session.execute(_OPEN, {"accounts": accounts})).scalars().all()
            locked = await _lock(session, accounts)
        book = cls(locked, opened=opened)
        spendable = (
            select(grants.c.account_id, grants.c.id, grants.c.remaining, grants.c.priority, grants.c.expires_at)
            .where(among(grants.c.account_id, accounts), grants.c.remaining > 0)
            .where(or_(grants.c.expires_at.is_(None), grants.c.expires_at > func.clock_timestamp()))
        )
        for account_id, *grant in await session.execute(spendable):
            book._put_in_purse(account_id, Grant(*grant))
        return book

    def wallet(self, account_id: str) -> Wallet:
        """The wallet of an account, with everything that was posted so far."""
        return self._wallets[account_id]

    def spendable(self, account_id: str) -> int:
        """What a job may hold: credits of grants that have not expired."""
        return sum(grant.remaining for grant in self._purses[account_id])

    def fund(self, account_id: str, amount: int, *, spare: str | None = None) -> Funding:
        """Which grants but ``spare`` pay ``amount``, in burn order; all there is when they cannot."""
        funding: Funding = []
        for grant in self._purses[account_id]:
            if not amount:
                break
            if grant.id != spare and (part := min(grant.remaining, amount)):
                funding.append((grant.id, part))
                amount -= part
        return funding

    def credit(self, account_id: str, parts: Funding) -> list[LedgerLine]:
        """The lines by which credits enter a wallet: a debt is repaid first, and the rest is what the grants have."""
        debt = self._wallets[account_id].debt
        lines = []
        for grant_id, amount in parts:
            repaid = min(debt, amount)
            debt -= repaid
            lines += [
                LedgerLine(account=AVAILABLE, amount=repaid),
                LedgerLine(account=AVAILABLE, amount=amount - repaid, grant_id=grant_id),
            ]
        return [line for line in lines if line.amount]

    def add_grant(
        self,
        account_id: str,
        *,
        key: str,
        source: str,
        reason: str,
        amount: int,
        priority: int,
        expires_at: datetime | None = None,
    ) -> str:
        """A new, still empty grant; a posting to it fills it. Returns its id."""
        grant = Grant(new_id("grt"), 0, priority, expires_at)
        self._put_in_purse(account_id, grant)
        self._new_grants.append(
            {
                "id": grant.id,
                "account_id": account_id,
                "key": key,
                "source": source,
                "reason": reason,
                "amount": amount,
                "priority": priority,
                "expires_at": expires_at,
            }
        )
        return grant.id

    def post(
        self,
        kind: str,
        *,
        key: str,
        account_id: str,
        lines: Sequence[LedgerLine],
        inputs: Mapping[str, Any],
        job_id: str | None = None,
    ) -> Wallet:
        """Post one transaction and return the wallet after it.

        ``key`` is the business key that makes it happen once, ``inputs`` is what it was made from. Raises ValueError
        when the lines do not sum to zero.
        """
        if sum(line.amount for line in lines):
            raise ValueError(f"the entries of {key} do not sum to zero")
        wallet = self._wallets[account_id]
        for line in lines:
            self._apply(wallet, line)
        wallet.version += 1
        self._touched[account_id] = wallet
        transaction_id = new_id("txn")
        self._transactions.append(
            {
                "id": transaction_id,
                "key": key,
                "input_hash": input_hash(inputs),
                "kind": kind,
                "account_id": account_id,
                "job_id": job_id,
                "wallet_version": wallet.version,
                "available": wallet.available,
                "held": wallet.held,
            }
        )
        self._entries += [(transaction_id, number, line) for number, line in enumerate(lines)]
        return wallet

    async def write(self, session: WriteSession) -> None:
        """Store everything that was posted."""
        if not self._transactions:
            return
        if self._new_grants:
            await self._write_new_grants(session)
        await session.execute(insert(transactions), self._transactions)
        await self._write_entries(session)
        await self._write_wallets(session)
        await self._write_grants(session)

    def _apply(self, wallet: Wallet, line: LedgerLine) -> None:
        if line.account == HELD:
            wallet.held += line.amount
        elif line.account == AVAILABLE:
            wallet.available += line.amount
            if line.grant_id is not None:
                self._changes[line.grant_id] += line.amount
                if grant := self._grants.get(line.grant_id):
                    grant.remaining += line.amount
            else:
                wallet.debt -= line.amount
        elif line.account == EXPIRED and line.grant_id is not None:
            self._expired[line.grant_id] += line.amount

    def _put_in_purse(self, account_id: str, grant: Grant) -> None:
        self._grants[grant.id] = grant
        insort(self._purses[account_id], grant, key=lambda grant: grant.burn_order)

    async def _write_new_grants(self, session: WriteSession) -> None:
        filled = [{**grant, "remaining": self._changes.pop(grant["id"], 0)} for grant in self._new_grants]
        await session.execute(insert(grants), filled)
        ending = [
            {"grant_id": grant["id"], "account_id": grant["account_id"], "due_at": grant["expires_at"]}
            for grant in self._new_grants
            if grant["expires_at"] is not None
        ]
        if ending:
            await session.execute(insert(grant_expiries), ending)

    async def _write_grants(self, session: WriteSession) -> None:
        moved = sorted(
            grant for grant in {**self._changes, **self._expired} if self._changes[grant] or self._expired[grant]
        )
        if not moved:
            return
        changes = {
            "grants": moved,
            "changes": [self._changes[grant] for grant in moved],
            "expired": [self._expired[grant] for grant in moved],
        }
        await session.execute(_WRITE_GRANTS, changes)

    async def _write_entries(self, session: WriteSession) -> None:
        if not self._entries:
            return
        ids, numbers, lines = zip(*self._entries, strict=True)
        await session.execute(
            _WRITE_ENTRIES,
            {
                "transactions": ids,
                "lines": numbers,
                "accounts": [line.account for line in lines],
                "amounts": [line.amount for line in lines],
                "grants": [line.grant_id for line in lines],
            },
        )

    async def _write_wallets(self, session: WriteSession) -> None:
        changed = self._touched.values()
        await session.execute(
            _WRITE_WALLETS,
            {
                "accounts": [wallet.account_id for wallet in changed],
                "available": [wallet.available for wallet in changed],
                "held": [wallet.held for wallet in changed],
                "versions": [wallet.version for wallet in changed],
                "debts": [wallet.debt for wallet in changed],
            },
        )


async def _lock(session: WriteSession, accounts: Sequence[str]) -> list[Wallet]:
    """The wallets of these accounts, locked in id order, or none of them while one is missing.

    Whoever has to make one holds none yet: two of whom each waits for a wallet that the other holds would stand still.
    """
    mine = among(wallets.c.account_id, accounts)
    known = select(func.count()).where(mine).scalar_subquery()
    query = select(wallets).where(mine, known == len(accounts)).order_by(wallets.c.account_id).with_for_update()
    return [Wallet(*row) for row in await session.execute(query)]


def input_hash(inputs: Mapping[str, Any]) -> bytes:
    """SHA-256 over what a transaction was made from."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).digest()
