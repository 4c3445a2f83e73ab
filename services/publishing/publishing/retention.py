"""Retention: ended deliveries and their attempts are kept for a while, then deleted."""

from datetime import timedelta

from kit.retention import Rule
from publishing.models import deliveries


def rules(*, keep: timedelta) -> tuple[Rule, ...]:
    """``keep`` is a setting of publishing."""
    return (Rule(deliveries.c.id, lambda moment: deliveries.c.ended_at < moment, keep),)
