"""Problems that publishing tells its callers."""

from kit.problems import Problem


def delivery_not_found() -> Problem:
    """404: also the answer for another account's delivery."""
    return Problem(404, "delivery_not_found", "There is no such delivery in your account.")


def delivery_not_ready() -> Problem:
    """409: the job has not ended, so there is nothing to deliver yet."""
    return Problem(409, "delivery_not_ready", "The job has not ended yet; its outcome is delivered when it does.")
