"""Retention: an ended run, with its prompt, its steps and its attempts, is kept for 30 days."""

from datetime import timedelta

from generation.models import RunState, runs
from kit.retention import Rule
from shared.ids import earliest

KEEP_RUNS = timedelta(days=30)

RULES = (
    Rule(
        runs.c.job_id,
        # ids of jobs rise with the time at which they were made
        lambda moment: (runs.c.job_id < earliest("job", moment)) & (runs.c.state == RunState.ENDED),
        KEEP_RUNS,
    ),
)
