"""Retention: journals of jobs are kept for 90 days, webhooks for 45, used tickets and ended sessions for none."""

from datetime import timedelta

from gateway.models import browser_sessions, job_events, tickets, webhooks
from kit.retention import Rule
from shared.ids import earliest

KEEP_JOURNAL = timedelta(days=90)
KEEP_WEBHOOKS = timedelta(days=45)
"""Longer than any sender repeats a message: Stripe lists its events for 30 days."""

RULES = (
    Rule(tickets.c.hash, lambda moment: tickets.c.expires_at < moment),
    Rule(browser_sessions.c.hash, lambda moment: browser_sessions.c.expires_at < moment),
    # ids of jobs rise with the time at which they were made
    Rule(job_events.c.event_id, lambda moment: job_events.c.job_id < earliest("job", moment), KEEP_JOURNAL),
    Rule(webhooks.c.id, lambda moment: webhooks.c.received_at < moment, KEEP_WEBHOOKS),
)
