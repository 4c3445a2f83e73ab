"""Facts about deliveries that must always hold."""

from kit.invariants import Invariant

INVARIANTS = (
    Invariant(
        "deliveries_find_their_halves",
        "No delivery waits longer than two hours for its job's request or its job's end.",
        "SELECT id, job_id, url IS NULL AS without_request FROM deliveries"
        " WHERE state = 'waiting' AND created_at < now() - interval '2 hours'",
    ),
    Invariant(
        "deliveries_are_not_stuck",
        "No due delivery is left alone for longer than ten minutes.",
        "SELECT id, due_at FROM deliveries"
        " WHERE greatest(due_at, coalesce(leased_until, due_at)) < now() - interval '10 minutes'",
    ),
    Invariant(
        "complete_deliveries_start",
        "A delivery whose both halves are known does not wait.",
        "SELECT id FROM deliveries WHERE state = 'waiting' AND url IS NOT NULL AND body IS NOT NULL",
    ),
    Invariant(
        "attempts_are_counted",
        "The attempts of a delivery of the last day are numbered from one without a gap.",
        "SELECT d.id, d.attempt_count, count(a.number) AS attempts FROM deliveries d"
        " LEFT JOIN attempts a ON a.delivery_id = d.id"
        # what ended longer ago was checked then, and an index finds each half of the rest
        " WHERE d.due_at IS NOT NULL OR d.ended_at > now() - interval '1 day' GROUP BY d.id"
        " HAVING count(a.number) <> d.attempt_count OR coalesce(max(a.number), 0) <> d.attempt_count",
    ),
    Invariant(
        "successes_were_answered",
        "A succeeded delivery has an attempt that was answered with 2xx.",
        "SELECT id FROM deliveries d WHERE state = 'succeeded' AND NOT EXISTS (SELECT 1 FROM attempts a"
        " WHERE a.delivery_id = d.id AND a.outcome = 'succeeded' AND a.status_code BETWEEN 200 AND 299)",
    ),
    Invariant(
        "ended_deliveries_have_no_open_attempt",
        "No attempt is open once its delivery has ended.",
        "SELECT d.id, a.number FROM deliveries d JOIN attempts a ON a.delivery_id = d.id"
        " WHERE d.state IN ('succeeded', 'failed') AND a.outcome IS NULL",
    ),
)
