"""Errors of billing: problems that a caller is told, and faults that stop a message."""

from kit.problems import Problem


class GrantConflictError(Exception):
    """The business key was used before, for something else."""


class UnknownGrantError(LookupError):
    """No grant has this business key in this account; what paid for it may not have arrived yet."""


class UnknownAccountError(LookupError):
    """No event has told billing of this account."""


class AccountMismatchError(ValueError):
    """Two events of one job name different accounts; whose money it is cannot be told."""


def unknown_price_version(version: str, known: list[str]) -> Problem:
    """404: the price book has no such version."""
    return Problem(404, "unknown_price_version", f"There is no price version {version!r}.", versions=known)


def quote_not_found(quote_id: str) -> Problem:
    """404: the account has no such quote."""
    return Problem(404, "quote_not_found", f"There is no quote {quote_id!r}; quotes are kept for a week.")


def statement_too_long(movements: int, most: int) -> Problem:
    """422: a month with so many movements is not told as one JSON document."""
    detail = (
        f"The month has {movements:,} movements, a JSON document at most {most:,}. Ask for format=csv, or page through"
        " /v1/credits/transactions with since and until."
    )
    return Problem(422, "statement_too_long", detail, movements=movements, most=most)


def unknown_kind(kinds: list[str]) -> Problem:
    """422: nobody makes such jobs; gateway says it in the same words."""
    return Problem(422, "unknown_kind", f"There is no such kind of job; there are: {', '.join(kinds)}.", kinds=kinds)


def spend_limit_not_found(limit_id: str) -> Problem:
    """404: the account has no such limit."""
    return Problem(404, "spend_limit_not_found", f"There is no spend limit {limit_id!r}.")


def spend_limit_exists() -> Problem:
    """409: there is one limit per account, API key or campaign, measure and period."""
    return Problem(409, "spend_limit_exists", "There is such a limit already; change its cap instead.")


def too_many_spend_limits(most: int) -> Problem:
    """409: an account has so many limits at most."""
    return Problem(409, "too_many_spend_limits", f"An account has at most {most} spend limits; remove one first.")
