"""Reconciliation: what is kept in wallets, grants and holds against the ledger, account by account.

The invariants say whether the books agree; this says, for an operator, where they do not and by how much. The ledger
is what counts: it cannot be changed, so whatever differs from it has drifted.
"""

from dataclasses import dataclass

from sqlalchemy import text

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


_OF_WALLETS = """
    SELECT '{name}', w.account_id, w.account_id, w.{column}, coalesce(l.total, 0)
    FROM wallets w LEFT JOIN (
        SELECT t.account_id, {sum} AS total FROM transactions t JOIN entries e ON e.transaction_id = t.id
        WHERE {which} GROUP BY t.account_id
    ) l ON l.account_id = w.account_id
    WHERE w.{column} <> coalesce(l.total, 0)
"""
_OF_GRANTS = """
    SELECT '{name}', g.account_id, g.id, g.{column}, coalesce(sum(e.amount), 0)
    FROM grants g LEFT JOIN entries e ON e.grant_id = g.id AND e.account = '{account}'
    GROUP BY g.id HAVING g.{column} <> coalesce(sum(e.amount), 0)
"""
CHECKS = (
    _OF_WALLETS.format(
        name="wallet_available", column="available", sum="sum(e.amount)", which="e.account = 'customer.available'"
    ),
    _OF_WALLETS.format(name="wallet_held", column="held", sum="sum(e.amount)", which="e.account = 'customer.held'"),
    _OF_WALLETS.format(
        name="wallet_debt",
        column="debt",
        sum="-sum(e.amount)",
        which="e.account = 'customer.available' AND e.grant_id IS NULL",
    ),
    _OF_GRANTS.format(name="grant_remaining", column="remaining", account="customer.available"),
    _OF_GRANTS.format(name="grant_expired", column="expired", account="platform.expired"),
    # a hold that was lost or altered, in either direction
    """
    SELECT 'open_hold', coalesce(h.account_id, l.account_id), coalesce(h.job_id, l.job_id),
           coalesce(h.held, 0), coalesce(l.total, 0)
    FROM (SELECT account_id, job_id, held FROM holds WHERE state = 'open') h FULL JOIN (
        SELECT t.account_id, t.job_id, sum(e.amount) AS total
        FROM transactions t JOIN entries e ON e.transaction_id = t.id
        WHERE e.account = 'customer.held' GROUP BY t.account_id, t.job_id HAVING sum(e.amount) <> 0
    ) l ON l.job_id = h.job_id
    WHERE coalesce(h.held, 0) <> coalesce(l.total, 0)
    """,
    # a job that counts as settled without being booked so, or the reverse
    """
    SELECT 'settlement', coalesce(h.account_id, l.account_id), coalesce(h.job_id, l.job_id),
           coalesce(h.captured + h.loss, 0), coalesce(l.total, 0)
    FROM (SELECT account_id, job_id, captured, loss FROM holds WHERE state = 'settled') h FULL JOIN (
        SELECT t.account_id, t.job_id, coalesce(sum(e.amount), 0) AS total
        FROM transactions t LEFT JOIN entries e ON e.transaction_id = t.id AND e.account = 'platform.earned'
        WHERE t.kind = 'settle' GROUP BY t.account_id, t.job_id
    ) l ON l.job_id = h.job_id
    WHERE coalesce(h.captured + h.loss, 0) <> coalesce(l.total, 0)
    """,
    """
    SELECT 'unbalanced_transaction', t.account_id, t.id, sum(e.amount), 0
    FROM transactions t JOIN entries e ON e.transaction_id = t.id GROUP BY t.id HAVING sum(e.amount) <> 0
    """,
)


async def reconcile(session: ReadSession) -> list[Drift]:
    """Everything that differs from the ledger, by kind of drift."""
    found = []
    for check in CHECKS:
        rows = await session.execute(text(check))
        found += [
            Drift(name, account_id, subject, int(kept), int(due)) for name, account_id, subject, kept, due in rows
        ]
    return found
