"""What must hold of the money at every moment, whatever process dies when."""

from billing.reconcile import GRANTS, TRANSACTIONS, WALLETS, differing
from kit.invariants import Invariant

INVARIANTS = (
    Invariant("transactions_sum_to_zero", "The entries of every transaction sum to zero.", differing(TRANSACTIONS)),
    Invariant(
        "ledger_sums_to_zero",
        "All entries together sum to zero.",
        "SELECT sum(amount) AS off_by FROM entries HAVING sum(amount) <> 0",
    ),
    Invariant(
        "wallets_equal_their_entries",
        "What a wallet has available and held is the sum of its entries; what it owes, of those without a grant.",
        differing(WALLETS),
    ),
    Invariant(
        "wallets_count_their_transactions",
        "A wallet's version is the number of its transactions, and its last transaction shows the wallet as it is.",
        """
        SELECT w.account_id, w.version, count(t.id) AS transactions
        FROM wallets w LEFT JOIN transactions t ON t.account_id = w.account_id
        GROUP BY w.account_id
        HAVING count(t.id) <> w.version OR bool_or(
            t.wallet_version = w.version AND (t.available <> w.available OR t.held <> w.held)
        )
        """,
    ),
    Invariant(
        "grants_equal_available",
        "What remains of an account's grants, less its debt, is what its wallet has available.",
        """
        SELECT w.account_id, w.available, w.debt, coalesce(sum(g.remaining), 0) AS remaining
        FROM wallets w LEFT JOIN grants g ON g.account_id = w.account_id
        GROUP BY w.account_id HAVING w.available + w.debt <> coalesce(sum(g.remaining), 0)
        """,
    ),
    Invariant(
        "grants_equal_their_entries",
        "What remains of a grant, and what expired of it, are the sums of its entries.",
        differing(GRANTS),
    ),
    Invariant(
        "clawbacks_follow_their_reversals",
        "What was taken back of a grant is what its refunds and disputes ask for together, or all of it.",
        """
        SELECT g.id, g.amount, g.clawed_back, coalesce(sum(r.asked), 0) AS asked
        FROM grants g LEFT JOIN reversals r ON r.grant_id = g.id
        GROUP BY g.id HAVING g.clawed_back <> least(g.amount, coalesce(sum(r.asked), 0))
        """,
    ),
    Invariant(
        "debtors_have_nothing_to_spend",
        "An account that owes something has no grant that could be spent.",
        """
        SELECT g.account_id, g.id, g.remaining, w.debt FROM wallets w JOIN grants g ON g.account_id = w.account_id
        WHERE w.debt > 0 AND g.remaining > 0 AND (g.expires_at IS NULL OR g.expires_at > now())
        """,
    ),
    Invariant(
        "expired_grants_are_booked",
        "What is left of a grant is booked as expired within five minutes.",
        "SELECT id, remaining FROM grants WHERE remaining > 0 AND expires_at < now() - interval '5 minutes'",
    ),
    Invariant(
        "held_equals_open_holds",
        "What a wallet holds is the sum of its open holds.",
        """
        SELECT w.account_id, w.held, coalesce(sum(h.held), 0) AS open_holds
        FROM wallets w LEFT JOIN holds h ON h.account_id = w.account_id AND h.state = 'open'
        GROUP BY w.account_id HAVING w.held <> coalesce(sum(h.held), 0)
        """,
    ),
    Invariant(
        "ended_jobs_hold_nothing",
        "No hold of a finished job is open.",
        "SELECT job_id, outcome FROM holds WHERE state = 'open' AND outcome IS NOT NULL",
    ),
    Invariant(
        "holds_are_funded",
        "The grants that fund a hold add up to it.",
        """
        SELECT h.job_id, h.held, sum((part ->> 1)::bigint) AS funded
        FROM holds h LEFT JOIN jsonb_array_elements(h.funding) AS part ON true
        GROUP BY h.job_id HAVING h.held <> coalesce(sum((part ->> 1)::bigint), 0)
        """,
    ),
    Invariant(
        "settlements_are_booked",
        "A settled job has exactly its one settlement in the ledger, with the same amounts.",
        """
        SELECT h.job_id, h.captured, h.loss, s.earned, s.lost
        FROM (SELECT * FROM holds WHERE state = 'settled') h FULL JOIN (
            SELECT t.job_id,
                   coalesce(sum(e.amount) FILTER (WHERE e.account = 'platform.earned'), 0) AS earned,
                   coalesce(-sum(e.amount) FILTER (WHERE e.account = 'platform.loss'), 0) AS lost
            FROM transactions t LEFT JOIN entries e ON e.transaction_id = t.id
            WHERE t.kind = 'settle' GROUP BY t.job_id
        ) s ON s.job_id = h.job_id
        WHERE (s.earned, s.lost) IS DISTINCT FROM (h.captured + h.loss, h.loss)
        """,
    ),
    Invariant(
        "nothing_is_negative",
        "No hold, no debt and no grant is below zero, and no wallet but by its debt.",
        """
        SELECT account_id AS id FROM wallets WHERE available + debt < 0 OR debt < 0 OR held < 0
        UNION ALL SELECT id FROM grants WHERE remaining < 0
        """,
    ),
)
