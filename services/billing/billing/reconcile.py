"""Reconciliation: what is kept in wallets, grants and holds against the ledger, account by account.

The invariants say whether the books agree; this says, for an operator, where they do not and by how much. What both ask
is one query. The ledger is what counts: it cannot be changed, so whatever differs from it has drifted.
"""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.database import ReadSession


@dataclass(frozen=True, slots=True)
class Drift:
    """One number that is not what it is due to be, by the authority that counts."""

    name: str
    account_id: str
    subject: str
    kept: int
    due: int
    authority: str = "the ledger"

    def __str__(self) -> str:
        return f"{self.name}: {self.subject} of {self.account_id} has {self.kept}, {self.authority} says {self.due}"


# Each query tells of all numbers of a kind what is kept and what the ledger says: name, account_id, subject, kept, due.
WALLETS = """
    SELECT number.name, w.account_id, w.account_id AS subject, number.kept, number.due
    FROM wallets w LEFT JOIN (
        SELECT t.account_id,
               sum(e.amount) FILTER (WHERE e.account = 'customer.available') AS available,
               sum(e.amount) FILTER (WHERE e.account = 'customer.held') AS held,
               -sum(e.amount) FILTER (WHERE e.account = 'customer.available' AND e.grant_id IS NULL) AS debt
        FROM transactions t JOIN entries e ON e.transaction_id = t.id GROUP BY t.account_id
    ) l ON l.account_id = w.account_id CROSS JOIN LATERAL (VALUES
        ('wallet_available', w.available, coalesce(l.available, 0)),
        ('wallet_held', w.held, coalesce(l.held, 0)),
        ('wallet_debt', w.debt, coalesce(l.debt, 0))
    ) AS number(name, kept, due)
"""
GRANTS = """
    SELECT number.name, g.account_id, g.id AS subject, number.kept, number.due
    FROM grants g LEFT JOIN (
        SELECT grant_id,
               sum(amount) FILTER (WHERE account = 'customer.available') AS remaining,
               sum(amount) FILTER (WHERE account = 'platform.expired') AS expired
        FROM entries WHERE grant_id IS NOT NULL GROUP BY grant_id
    ) l ON l.grant_id = g.id CROSS JOIN LATERAL (VALUES
        ('grant_remaining', g.remaining, coalesce(l.remaining, 0)),
        ('grant_expired', g.expired, coalesce(l.expired, 0))
    ) AS number(name, kept, due)
"""
TRANSACTIONS = """
    SELECT 'unbalanced_transaction' AS name, t.account_id, t.id AS subject, sum(e.amount) AS kept, 0 AS due
    FROM transactions t JOIN entries e ON e.transaction_id = t.id GROUP BY t.id
"""
# a hold that was lost or altered, in either direction
_HOLDS = """
    SELECT 'open_hold' AS name, coalesce(h.account_id, l.account_id) AS account_id,
           coalesce(h.job_id, l.job_id) AS subject, coalesce(h.held, 0) AS kept, coalesce(l.total, 0) AS due
    FROM (SELECT account_id, job_id, held FROM holds WHERE state = 'open') h FULL JOIN (
        SELECT t.account_id, t.job_id, sum(e.amount) AS total
        FROM transactions t JOIN entries e ON e.transaction_id = t.id
        WHERE e.account = 'customer.held' GROUP BY t.account_id, t.job_id HAVING sum(e.amount) <> 0
    ) l ON l.job_id = h.job_id
"""
# a job that counts as settled without being booked so, or the reverse; the invariant also wants those of nothing booked
_SETTLEMENTS = """
    SELECT 'settlement' AS name, coalesce(h.account_id, l.account_id) AS account_id,
           coalesce(h.job_id, l.job_id) AS subject,
           coalesce(h.captured + h.loss, 0) AS kept, coalesce(l.total, 0) AS due
    FROM (SELECT account_id, job_id, captured, loss FROM holds WHERE state = 'settled') h FULL JOIN (
        SELECT t.account_id, t.job_id, coalesce(sum(e.amount), 0) AS total
        FROM transactions t LEFT JOIN entries e ON e.transaction_id = t.id AND e.account = 'platform.earned'
        WHERE t.kind = 'settle' GROUP BY t.account_id, t.job_id
    ) l ON l.job_id = h.job_id
"""


def differing(numbers: str) -> str:
    """The rows of such a query that differ from the ledger."""
    return f"SELECT * FROM ({numbers}) AS numbers WHERE kept <> due"  # noqa: S608


async def reconcile(session: ReadSession | AsyncConnection) -> list[Drift]:
    """Everything that differs from the ledger, by kind of drift."""
    found = []
    for numbers in (WALLETS, GRANTS, _HOLDS, _SETTLEMENTS, TRANSACTIONS):
        rows = await session.execute(text(differing(numbers)))
        found += [
            Drift(name, account_id, subject, int(kept), int(due)) for name, account_id, subject, kept, due in rows
        ]
    return sorted(found, key=lambda drift: (drift.name, drift.subject))
