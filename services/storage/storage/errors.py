"""Problems that storage tells its callers."""

from kit.problems import Problem

BUSY_RETRY_SECONDS = 5


def asset_not_found() -> Problem:
    """Also the answer for another account's asset."""
    return Problem(404, "asset_not_found", "There is no such asset in your library.")


def asset_not_available(state: str) -> Problem:
    """The asset is known, but its bytes are not there to be fetched."""
    return Problem(409, "asset_not_available", f"The asset is {state}, so it has no content to fetch.")


def upload_too_large(limit: int) -> Problem:
    """The picture has too many bytes."""
    return Problem(413, "upload_too_large", f"The picture is larger than {limit:,} bytes; send a smaller one.")


def uploads_busy() -> Problem:
    """503: the pictures of other uploads leave no time or memory for this one. Nothing of it is kept."""
    detail = (
        f"Too many pictures are being taken in; nothing of this one was kept. Send it again in {BUSY_RETRY_SECONDS} s."
    )
    headers = {"Retry-After": str(BUSY_RETRY_SECONDS)}
    return Problem(503, "uploads_busy", detail, headers=headers, excuse="busy")


def upload_broken_off() -> Problem:
    """400: the body ended too early; whoever sent it has gone."""
    return Problem(400, "bad_request", "The upload was broken off.")


def unsupported_picture() -> Problem:
    """The content is not of a supported type, whatever its name says."""
    return Problem(415, "unsupported_picture", "The content is not a JPEG, PNG or WebP picture.")


def unusable_picture(code: str, detail: str) -> Problem:
    """The type is right, but the picture cannot be used."""
    return Problem(422, code, detail)
