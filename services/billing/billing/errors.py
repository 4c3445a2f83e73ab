"""Errors of billing: problems that a caller is told, and faults that stop a message."""

from kit.problems import Problem


class GrantConflictError(Exception):
    """The key of a grant was used before, for another grant."""


class UnknownAccountError(LookupError):
    """No event has told billing of this account."""


class AccountMismatchError(ValueError):
    """Two events of one job name different accounts; whose money it is cannot be told."""


def unknown_price_version(version: str, known: list[str]) -> Problem:
    """404: the price book has no such version."""
    return Problem(404, "unknown_price_version", f"There is no price version {version!r}.", versions=known)
