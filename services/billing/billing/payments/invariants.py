"""What must always hold between payments and the ledger."""

from kit.invariants import Invariant

PAYMENT_INVARIANTS = (
    Invariant(
        "paid_packs_are_granted",
        "Every paid pack has its grant, of the amount that was promised.",
        """
        SELECT c.id, c.session_id FROM checkouts c
        WHERE c.kind = 'pack' AND c.state = 'paid'
          AND NOT EXISTS (SELECT FROM grants g WHERE g.key = 'checkout:' || c.session_id AND g.amount = c.amount)
        """,
    ),
    Invariant(
        "purchases_have_their_grant",
        "Every payment that is on file paid for a grant of its account.",
        """
        SELECT p.payment_intent, p.grant_key FROM purchases p
        WHERE NOT EXISTS (
            SELECT FROM grants g WHERE g.key = p.grant_key AND g.account_id = p.account_id AND g.amount = p.amount
        )
        """,
    ),
    Invariant(
        "stripe_events_are_handled_within_a_day",
        "No event of Stripe waits longer than a day.",
        "SELECT id, kind, attempts FROM stripe_events WHERE outcome IS NULL AND received_at < now() - interval '1 day'",
    ),
)
