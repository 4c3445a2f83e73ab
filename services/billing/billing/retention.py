"""Retention: a quote is kept for a week after it ended, what was noted of Stripe's events and objects for 90 days."""

from datetime import timedelta

from billing.models import quotes
from billing.payments.tables import stripe_events, stripe_objects
from billing.quotes import KEEP
from kit.retention import Rule
from shared.ids import earliest

KEEP_STRIPE = timedelta(days=90)
"""Stripe lists events for 30 days, and one that is listed again must be known."""

RULES = (
    Rule(
        quotes.c.id,
        # ids of quotes rise with the time at which they were made, and one ends after that
        lambda moment: (quotes.c.id < earliest("qte", moment)) & (quotes.c.valid_until < moment),
        KEEP,
    ),
    Rule(
        stripe_events.c.id,
        lambda moment: (stripe_events.c.received_at < moment) & stripe_events.c.outcome.is_not(None),
        KEEP_STRIPE,
    ),
    # not by its id: one of which Stripe was asked anew in this moment must stay
    Rule(stripe_objects.c.fetched_at, lambda moment: stripe_objects.c.fetched_at < moment, KEEP_STRIPE),
)
