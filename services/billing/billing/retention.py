"""Retention: a quote is kept for a week after it ended."""

from billing.models import quotes
from billing.quotes import KEEP
from kit.retention import Rule
from shared.ids import earliest

RULES = (
    Rule(
        quotes.c.id,
        # ids of quotes rise with the time at which they were made, and one ends after that
        lambda moment: (quotes.c.id < earliest("qte", moment)) & (quotes.c.valid_until < moment),
        KEEP,
    ),
)
