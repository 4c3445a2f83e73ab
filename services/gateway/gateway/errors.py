"""Problems that gateway tells its callers, and errors of its commands."""

from datetime import datetime

from kit.problems import COME_AGAIN, Problem


class EmailInUseError(ValueError):
    """Another account has this e-mail address."""


class UnknownAccountError(LookupError):
    """There is no such account."""


def unauthenticated(detail: str) -> Problem:
    """401: nobody we know is calling."""
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="atelier"'})


def foreign_origin() -> Problem:
    """403: a change is asked for with a cookie, but not from our own page."""
    return Problem(
        403,
        "foreign_origin",
        "A change with the session cookie must come from Atelier's own page; elsewhere use an API key.",
    )


def rate_limited(seconds: int) -> Problem:
    """429: too many requests of one caller."""
    return Problem(
        429, "rate_limited", f"Too many requests; try again in {seconds} s.", headers={"Retry-After": str(seconds)}
    )


def too_many_keys(most: int) -> Problem:
    """409: the account has as many keys as it may have."""
    return Problem(409, "too_many_api_keys", f"You have {most} API keys; revoke some that are not used.", most=most)


def too_many_streams(most: int) -> Problem:
    """429: the account follows as many jobs as it may at a time."""
    return Problem(
        429,
        "too_many_streams",
        f"You have {most} open streams; close some, or read the jobs instead.",
        headers=COME_AGAIN,
        most=most,
    )


def too_many_open_requests(service: str) -> Problem:
    """429: the caller's requests to this service wait for each other."""
    detail = f"Many of your requests to the {service} service are not answered yet; send fewer at a time."
    return Problem(429, "too_many_open_requests", detail, headers=COME_AGAIN, service=service)


def not_json() -> Problem:
    """415: the body is of another type."""
    return Problem(415, "unsupported_media_type", "Send the body as JSON, with `Content-Type: application/json`.")


def not_valid_json() -> Problem:
    """400: the body cannot be parsed."""
    return Problem(400, "invalid_json", "The body is not valid JSON.")


def unknown_kind(kinds: list[str]) -> Problem:
    """422: nobody makes such jobs."""
    return Problem(422, "unknown_kind", f"There is no such kind of job; there are: {', '.join(kinds)}.", kinds=kinds)


def insufficient_credits(*, needed: int, available: int) -> Problem:
    """402: the wallet cannot pay the job."""
    return Problem(
        402,
        "insufficient_credits",
        f"The job costs {needed} milli-credits, {available} are available.",
        needed=needed,
        available=available,
        unit="millicredits",
    )


def balance_negative(available: int) -> Problem:
    """402: the account owes credits, so no job may begin, whatever it costs."""
    return Problem(
        402,
        "balance_negative",
        f"A refund or dispute left the balance at {available} milli-credits; no job may begin while it is below zero.",
        available=available,
        unit="millicredits",
    )


def unknown_quote(quote_id: str) -> Problem:
    """422: the account has no such quote."""
    return Problem(422, "unknown_quote", f"There is no quote {quote_id}; ask for a new one.", quote_id=quote_id)


def quote_expired(quote_id: str, valid_until: datetime) -> Problem:
    """422: the quoted price is no longer promised."""
    moment = valid_until.isoformat(timespec="seconds")
    return Problem(
        422,
        "quote_expired",
        f"The quote was good until {moment}; ask for a new one.",
        quote_id=quote_id,
        valid_until=moment,
    )


def quote_mismatch(quote_id: str) -> Problem:
    """422: something else was quoted."""
    return Problem(
        422,
        "quote_mismatch",
        "The quote is for another kind or input; ask for a new one, or send what was quoted.",
        quote_id=quote_id,
    )


def webhooks_not_configured(sender: str) -> Problem:
    """503: what this sender says cannot be verified."""
    return Problem(
        503,
        "webhooks_not_configured",
        f"This installation has no secret to verify webhooks of {sender} with; its operator has to set one.",
        excuse="unset",
        sender=sender,
    )


def invalid_signature(detail: str) -> Problem:
    """400: the message is not from its sender, was changed, or is too old."""
    return Problem(400, "invalid_signature", f"The message was not accepted: {detail}.")


def invalid_webhook() -> Problem:
    """400: the message is the sender's, but it is not an event."""
    return Problem(400, "invalid_webhook", "The message is signed but holds no event with an id, a type and an object.")


def job_not_found() -> Problem:
    """404: the caller has no such job."""
    return Problem(404, "job_not_found", "You have no job with this id.")


def job_already_finished(status: str) -> Problem:
    """409: what has ended cannot be stopped."""
    return Problem(409, "job_already_finished", f"The job has ended already: {status}.", status_of_job=status)


def api_key_already_made(key_id: str) -> Problem:
    """409: an earlier request with the same Idempotency-Key made the key; nobody can show it again."""
    return Problem(
        409,
        "api_key_already_made",
        "An earlier request with this Idempotency-Key has made the key, and a key is shown once only. If its answer was"
        " lost, revoke that key and make another with a new Idempotency-Key.",
        api_key_id=key_id,
    )


def api_key_not_found() -> Problem:
    """404: the caller has no such key."""
    return Problem(404, "api_key_not_found", "You have no API key with this id.")


def service_unavailable(service: str) -> Problem:
    """503: the service that owns this resource does not answer."""
    return Problem(
        503,
        "service_unavailable",
        f"The {service} service does not answer just now; try again shortly.",
        headers=COME_AGAIN,
        service=service,
    )
