"""Stripe's error envelope, and the errors this twin answers with, worded as Stripe words them."""

from typing import Any

from pydantic import ValidationError
from starlette.responses import JSONResponse

from twins.faults import Fault


class StripeError(Exception):
    """Ends a request with an error body. One with status 402 is a fact of its own: what it did stays on file."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}
        named = {"code": code, "message": message, "param": param, **more, "type": kind}
        self.body: dict[str, Any] = {"error": {key: value for key, value in named.items() if value is not None}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, status_code=self.status, headers=self.headers)


def missing_key() -> StripeError:
    return StripeError(
        401,
        "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer "
        "auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
    )


def incorrect_key(key: str) -> StripeError:
    return StripeError(401, f"Invalid API Key provided: {key[:8]}{'*' * max(len(key) - 12, 3)}{key[-4:]}")


def unknown_version(version: str) -> StripeError:
    return StripeError(400, f"Invalid Stripe API version: {version}.")


def unknown_url(method: str, path: str) -> StripeError:
    return StripeError(404, f"Unrecognized request URL ({method}: {path}).")


def no_such(kind: str, object_id: str, *, param: str = "id") -> StripeError:
    """404 for the object of the URL itself; 400 when a parameter names it."""
    status = 404 if param == "id" else 400
    return StripeError(status, f"No such {kind}: '{object_id}'", code="resource_missing", param=param)


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> StripeError:
    return StripeError(400, message, param=param, code=code)


def missing(param: str) -> StripeError:
    return invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")


def card_declined(message: str, *, code: str, decline_code: str | None, charge: str | None = None) -> StripeError:
    return StripeError(402, message, kind="card_error", code=code, decline_code=decline_code, charge=charge)


def other_parameters(key: str) -> StripeError:
    return StripeError(
        400,
        "Keys for idempotent requests can only be used with the same parameters they were first used with. "
        f"Try using a key other than '{key}' if you meant to execute a different request.",
        kind="idempotency_error",
    )


def other_endpoint(key: str, path: str) -> StripeError:
    return StripeError(
        400,
        f"Keys for idempotent requests can only be used for the same endpoint they were first used for ('{path}'). "
        f"Try using a key other than '{key}' if you meant to execute a different request.",
        kind="idempotency_error",
    )


def key_in_use(key: str) -> StripeError:
    return StripeError(
        409,
        f"There is currently another in-progress request using this Idempotent Key ({key}). Please try again later.",
        code="idempotency_key_in_use",
        headers={"stripe-should-retry": "true"},
    )


def from_validation(error: ValidationError) -> StripeError:
    """The first fault that pydantic found, as Stripe tells it."""
    fault = error.errors(include_url=False)[0]
    param = _param(fault["loc"])
    match fault["type"]:
        case "missing":
            return missing(param)
        case "extra_forbidden":
            return invalid(f"Received unknown parameter: {param}", param=param, code="parameter_unknown")
        case "int_parsing" | "int_type":
            return invalid(f"Invalid integer: {fault['input']}", param=param, code="parameter_invalid_integer")
        case "literal_error":
            allowed = fault["ctx"]["expected"].replace("'", "")
            return invalid(f"Invalid {param}: must be one of {allowed}", param=param)
    return invalid(f"Invalid {param}: {fault['msg']}", param=param)


def from_fault(fault: Fault) -> StripeError | None:
    """What the caller is told when a fault script refuses the request; None when the fault is of another sort."""
    retry = {"retry-after": fault.argument} if fault.argument else {}
    match fault.action:
        case "429":
            return StripeError(
                429,
                "Too many requests hit the API too quickly. We recommend an exponential backoff of your requests.",
                code="rate_limit",
                headers=retry | {"stripe-should-retry": "true"},
            )
        case "500" | "502" | "503":
            return StripeError(
                int(fault.action),
                "Sorry! There was an error while talking to one of our backends. Support has been notified.",
                kind="api_error",
                headers=retry,
            )
    return None


def not_for_stripe(fault: Fault) -> StripeError:
    return invalid(f"The Stripe twin has no fault {fault.action!r}; see the README.", code="unknown_twin_fault")


def _param(location: tuple[int | str, ...]) -> str:
    first, *rest = location or ("body",)
    return f"{first}{''.join(f'[{part}]' for part in rest)}"
