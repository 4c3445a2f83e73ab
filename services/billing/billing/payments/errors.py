"""Errors of payments."""

from kit.problems import Problem


class StripeUnavailableError(ConnectionError):
    """Stripe did not answer, or not now; the same request may be sent again under its idempotency key."""


class StripeRefusedError(Exception):
    """Stripe understood and said no; asking again does not help before somebody has mended a key, a setting or us."""


class StripeMissingError(StripeRefusedError):
    """This Stripe account has no such object."""


class UnknownPriceError(Exception):
    """Something was paid whose price is in no offer: add it to the settings, retired if it is no longer sold."""


def not_configured() -> Problem:
    """503: this installation sells nothing."""
    detail = "This installation has no payment provider; ask its operator."
    return Problem(503, "payments_not_configured", detail, excuse="unset")


def unavailable() -> Problem:
    """503: Stripe is away."""
    detail = "The payment provider cannot be reached. Nothing was charged; repeat with the same Idempotency-Key."
    return Problem(503, "payments_unavailable", detail, headers={"Retry-After": "5"})


def refused() -> Problem:
    """502: Stripe said no to us, not to the payer."""
    detail = "The payment provider refused the request. Nothing was charged; the operator has been told."
    return Problem(502, "payments_refused", detail)


def unknown_offer(name: str, known: list[str]) -> Problem:
    """422: no such pack or plan is sold."""
    return Problem(422, "unknown_offer", f"{name!r} is not sold. On offer are: {', '.join(known)}.", offers=known)


def foreign_url(field: str, origin: str) -> Problem:
    """422: the address to return to belongs to somebody else."""
    return Problem(422, "foreign_url", f"{field} must begin with {origin}.")


def already_subscribed(plan: str) -> Problem:
    """409: one subscription per account; changes are made in the portal."""
    detail = f"There is a subscription to {plan} already. Change or cancel it in the portal."
    return Problem(409, "already_subscribed", detail, plan=plan)


def no_customer() -> Problem:
    """409: the portal shows purchases, and there was none."""
    return Problem(409, "no_customer", "Nothing was bought yet, so there is no portal to open.")


def too_many_purchases(most: int) -> Problem:
    """429: the account has so many checkouts and portals in the making."""
    detail = f"{most} checkouts or portals of your account are being made; ask again when one of them is answered."
    return Problem(429, "too_many_purchases", detail, headers={"Retry-After": "1"}, most=most)


def no_such_checkout() -> Problem:
    """404: unknown, or somebody else's."""
    return Problem(404, "checkout_not_found", "There is no such checkout session.")
