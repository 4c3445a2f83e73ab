"""Facts about jobs that must always hold."""

from kit.invariants import Invariant
from shared.events.generation import ENDS

_TERMINAL_TYPES = ", ".join(f"'{event.wire_type}'" for event in ENDS)
_RECENT = "j.created_at > now() - interval '1 day'"  # a check must stay cheap however many jobs there were

INVARIANTS = (
    Invariant(
        "jobs_end_in_time",
        "Every accepted job is terminal within its deadline plus ten minutes.",
        "SELECT id, status, deadline FROM jobs WHERE finished_at IS NULL AND deadline < now() - interval '10 minutes'",
    ),
    Invariant(
        "ended_jobs_have_a_terminal_event",
        "A job that has ended has its terminal event in the journal, exactly one.",
        f"SELECT j.id, j.status FROM jobs j WHERE j.rank = 2 AND {_RECENT} AND"  # noqa: S608 - constants
        f" (SELECT count(*) FROM job_events e WHERE e.job_id = j.id AND e.type IN ({_TERMINAL_TYPES})) <> 1",
    ),
    Invariant(
        "journals_have_no_gaps",
        "The events of a job are numbered from 1 without a gap.",
        "SELECT j.id, e.events, e.last FROM jobs j LEFT JOIN LATERAL"  # noqa: S608 - constants
        " (SELECT count(*) AS events, coalesce(max(seq), 0) AS last FROM job_events e WHERE e.job_id = j.id) e ON true"
        f" WHERE {_RECENT} AND (e.events = 0 OR e.events <> e.last)",
    ),
    Invariant(
        "jobs_have_an_account",
        "The account of every job exists.",
        "SELECT j.id, j.account_id FROM jobs j LEFT JOIN accounts a ON a.id = j.account_id"  # noqa: S608 - constants
        f" WHERE {_RECENT} AND a.id IS NULL",
    ),
    Invariant(
        "charges_add_up",
        "What was captured and released is what was held.",
        f"SELECT j.id, j.held, j.captured, j.released FROM jobs j WHERE {_RECENT}"  # noqa: S608 - constants
        " AND j.held IS NOT NULL AND j.captured IS NOT NULL AND j.captured + j.released <> j.held",
    ),
)
