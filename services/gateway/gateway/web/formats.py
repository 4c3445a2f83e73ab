"""How numbers and moments read on the page; the filters of the templates."""

import json
from datetime import datetime, timedelta
from typing import Any

from shared.prices import MILLICREDITS

KIBIBYTE = 1024
SIGNS = {"usd": "$", "eur": "\N{EURO SIGN}", "gbp": "\N{POUND SIGN}", "jpy": "\N{YEN SIGN}"}
WHOLE_CURRENCIES = frozenset(
    {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"}
)
"""Currencies whose smallest unit is the whole one, as Stripe lists them."""


def credit_amount(millicredits: int) -> str:
    """``4000`` -> ``4``, ``1250500`` -> ``1,250.5``: no digit more than it takes."""
    whole, rest = divmod(abs(millicredits), MILLICREDITS)
    decimals = f".{rest:03d}".rstrip("0") if rest else ""
    sign = "\N{MINUS SIGN}" if millicredits < 0 else ""
    return f"{sign}{whole:,}{decimals}"


def credit_sum(millicredits: int) -> str:
    """The amount with its unit: ``1 credit``, ``4 credits``."""
    unit = "credit" if millicredits == MILLICREDITS else "credits"
    return f"{credit_amount(millicredits)} {unit}"


def signed_amount(millicredits: int) -> str:
    """An amount of a ledger line, which always shows its direction."""
    return f"+{credit_amount(millicredits)}" if millicredits > 0 else credit_amount(millicredits)


def duration(span: timedelta) -> str:
    """``38 ms``, ``1.9 s``, ``2 min 05 s``, ``1 h 04 min``."""
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def file_size(size: int) -> str:
    """``820 KB``, ``1.4 MB``."""
    if size < KIBIBYTE**2:
        return f"{max(1, round(size / KIBIBYTE))} KB"
    return f"{size / KIBIBYTE**2:.1f} MB"


def count(number: int, noun: str) -> str:
    """``1 picture``, ``4 pictures``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def dimensions(size: str) -> str:
    """A size with a multiplication sign between spaces."""
    return size.replace("x", " \N{MULTIPLICATION SIGN} ")


def day_and_time(moment: datetime) -> str:
    """``21 Nov 2026, 12:04:31 UTC``; the browser shows its own time zone on top."""
    return f"{moment:%d %b %Y, %H:%M:%S} UTC"


def day(moment: datetime) -> str:
    """``21 Nov 2026``, in UTC; the browser shows its own on top."""
    return f"{moment:%d %b %Y}"


def money(amount: int, currency: str) -> str:
    """``$5``, ``$19.90``, ``\N{YEN SIGN}500``, ``CHF 12``: no decimals that say nothing."""
    decimals = 0 if currency in WHOLE_CURRENCIES else 2
    number = f"{amount / 10**decimals:,.{decimals}f}".removesuffix(".00")
    return f"{SIGNS.get(currency, f'{currency.upper()} ')}{number}"


def pretty_json(value: Any) -> str:
    """JSON for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


FILTERS = {
    "credit_amount": credit_amount,
    "credit_sum": credit_sum,
    "signed_amount": signed_amount,
    "duration": duration,
    "count": count,
    "dimensions": dimensions,
    "day": day,
    "day_and_time": day_and_time,
    "money": money,
    "pretty_json": pretty_json,
}
