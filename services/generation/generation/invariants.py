"""What must always hold in generation's database.

A job that has not ended is found by ``ended_at IS NULL``, which has an index. States have none, because a change of
what an index looks at writes all indexes of its row: for steps that costs more than the one scan that is left.
"""

from kit.invariants import Invariant

INVARIANTS = (
    Invariant(
        "runs_end_by_their_deadline",
        "Every job has ended one minute after its deadline, unless storage has yet to answer for a picture.",
        "SELECT r.job_id, r.state, r.deadline FROM runs r"
        " WHERE r.ended_at IS NULL AND r.deadline < now() - interval '1 minute'"
        " AND NOT EXISTS (SELECT FROM steps s WHERE s.job_id = r.job_id AND s.state = 'produced')",
    ),
    Invariant(
        "storage_answers_for_every_picture",
        "No job waits for storage longer than ten minutes after its deadline.",
        "SELECT r.job_id, s.item, r.deadline FROM runs r JOIN steps s ON s.job_id = r.job_id"
        " WHERE r.ended_at IS NULL AND r.deadline < now() - interval '10 minutes' AND s.state = 'produced'",
    ),
    Invariant(
        "ended_runs_have_no_open_step",
        "No item of an ended job is still open.",
        "SELECT r.job_id, s.item, s.state FROM runs r JOIN steps s ON s.job_id = r.job_id"
        " WHERE r.state = 'ended' AND s.state IN ('pending', 'produced')",
    ),
    Invariant(
        "running_runs_have_an_open_step",
        "A job whose items are all closed has ended.",
        "SELECT r.job_id FROM runs r WHERE r.ended_at IS NULL AND r.state = 'running' AND NOT EXISTS"
        " (SELECT FROM steps s WHERE s.job_id = r.job_id AND s.state IN ('pending', 'produced'))",
    ),
    Invariant(
        "running_runs_have_all_steps",
        "A running job has one step for each item.",
        "SELECT r.job_id FROM runs r WHERE r.ended_at IS NULL AND r.state = 'running'"
        " AND cardinality(r.item_prices) <> (SELECT count(*) FROM steps s WHERE s.job_id = r.job_id)",
    ),
    Invariant(
        "pending_steps_are_due",
        "Every step that waits for a worker is due at some time.",
        "SELECT s.id, s.job_id FROM runs r JOIN steps s ON s.job_id = r.job_id"
        " WHERE r.ended_at IS NULL AND s.state = 'pending' AND s.due_at IS NULL",
    ),
    Invariant(
        "cut_off_calls_are_noticed",
        "No call is open ten minutes after the lease it was made under has ended.",
        "SELECT a.step_id, a.number, a.started_at FROM attempts a JOIN steps s ON s.id = a.step_id"
        " WHERE a.ended_at IS NULL AND coalesce(s.leased_until, a.started_at) < now() - interval '10 minutes'",
    ),
)
