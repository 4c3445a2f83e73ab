"""Billing periods: the same day of every month, or the month's last where it has no such day."""

import calendar
from datetime import UTC, datetime, timedelta

from twins.stripe.account import Object

_MONTHS = {"month": 1, "year": 12}
_DAYS = {"day": 1, "week": 7}


def period_start(anchor: int, recurring: Object, number: int) -> int:
    """When the period of this number begins; counted from the anchor, so that a short month leaves no trace."""
    begin = datetime.fromtimestamp(anchor, UTC)
    count = number * recurring["interval_count"]
    interval = recurring["interval"]
    if interval in _DAYS:
        return int((begin + timedelta(days=count * _DAYS[interval])).timestamp())
    months = begin.month - 1 + count * _MONTHS[interval]
    year, month = begin.year + months // 12, months % 12 + 1
    day = min(begin.day, calendar.monthrange(year, month)[1])
    return int(begin.replace(year=year, month=month, day=day).timestamp())
