"""OpenAI's error shape, and the errors this twin answers with, worded as the provider words them."""

import json
from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from twins.faults import Fault


class OpenAIError(Exception):
    """Ends a call with an error body; `headers` are added to those every answer has."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        self.headers = headers or {}

    def response(self) -> Response:
        # in ASCII, because a message may hold what UTF-8 has no bytes for
        body = json.dumps(self.body, separators=(",", ":"))
        return Response(body, self.status, self.headers, media_type="application/json")


def missing_key() -> OpenAIError:
    return OpenAIError(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY).",
    )


def incorrect_key(key: str) -> OpenAIError:
    shown = f"{key[:3]}***{key[-4:]}" if len(key) > 12 else "***"
    return OpenAIError(401, f"Incorrect API key provided: {shown}.", code="invalid_api_key")


def not_json() -> OpenAIError:
    return OpenAIError(
        400,
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
        "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
    )


def model_not_found(model: str, *, retired: bool) -> OpenAIError:
    reason = "has been deprecated and shut down" if retired else "does not exist or you do not have access to it"
    return OpenAIError(404, f"The model `{model}` {reason}.", param="model", code="model_not_found")


def missing_parameter(name: str) -> OpenAIError:
    return OpenAIError(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def unknown_parameter(name: str) -> OpenAIError:
    return OpenAIError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def invalid_type(name: str, expected: str, value: object) -> OpenAIError:
    return OpenAIError(
        400,
        f"Invalid type for '{name}': expected {expected}, but got {_kind_of(value)} instead.",
        param=name,
        code="invalid_type",
    )


def invalid_value(name: str, value: object, supported: str) -> OpenAIError:
    return OpenAIError(
        400,
        f"Invalid value: '{value}'. Supported values are: {supported}.",
        kind="image_generation_user_error",
        param=name,
        code="invalid_value",
    )


def invalid_range(name: str, value: int, lowest: int, highest: int) -> OpenAIError:
    bound, word, edge = (lowest, ">=", "below_min") if value < lowest else (highest, "<=", "above_max")
    return OpenAIError(
        400,
        f"Invalid '{name}': integer {edge.replace('_', ' ')} value. Expected a value {word} {bound}, "
        f"but got {value} instead.",
        param=name,
        code=f"integer_{edge}_value",
    )


def prompt_too_long(length: int, limit: int) -> OpenAIError:
    return OpenAIError(
        400,
        f"Invalid 'prompt': string too long. Expected a string with maximum length {limit}, "
        f"but got a string with length {length} instead.",
        param="prompt",
        code="string_above_max_length",
    )


def rate_limited(model: str, seconds: str) -> OpenAIError:
    return OpenAIError(
        429,
        f"Rate limit reached for {model} on images per min. Please try again in {seconds}s.",
        kind="requests",
        code="rate_limit_exceeded",
        headers={"Retry-After": seconds},
    )


def out_of_quota() -> OpenAIError:
    return OpenAIError(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        kind="insufficient_quota",
        code="insufficient_quota",
    )


def server_error(request_id: str) -> OpenAIError:
    message = f"The server had an error while processing your request. Sorry about that! (request ID {request_id})"
    return OpenAIError(500, message, kind="server_error")


def bad_gateway() -> OpenAIError:
    return OpenAIError(502, "Bad gateway.", kind="server_error")


def overloaded(seconds: str | None) -> OpenAIError:
    return OpenAIError(
        503,
        "The engine is currently overloaded, please try again later.",
        kind="server_error",
        headers={"Retry-After": seconds} if seconds else {},
    )


def moderation_blocked(request_id: str, stage: str | None) -> OpenAIError:
    """`stage` is "output" when it was the picture, not the prompt, that was found unsafe."""
    subject = " because the generated image may contain unsafe content" if stage == "output" else ""
    return OpenAIError(
        400,
        f"Your request was rejected by the safety system{subject}. If you believe this is an error, contact us at "
        f"help.openai.com and include the request ID {request_id}. safety_violations=[sexual].",
        kind="image_generation_user_error",
        code="moderation_blocked",
    )


def oddly_worded() -> OpenAIError:
    """A refusal that quotes a prompt cut within an emoji: half a surrogate pair, which is JSON but no text."""
    message = "Invalid 'prompt': 'a lamp \ud83d\x00' is not allowed."
    return OpenAIError(400, message, param="prompt", code="invalid_value")


def from_fault(fault: Fault, model: str, request_id: str) -> OpenAIError | None:
    """The error a fault script asks for; None when its action is not an error answer."""
    builders: dict[str, Callable[[], OpenAIError]] = {
        "429": lambda: rate_limited(model, fault.argument or "1"),
        "quota": out_of_quota,
        "500": lambda: server_error(request_id),
        "502": bad_gateway,
        "503": lambda: overloaded(fault.argument),
        "moderation": lambda: moderation_blocked(request_id, fault.argument),
        "odd-message": oddly_worded,
    }
    build = builders.get(fault.action)
    return build() if build else None


def _kind_of(value: object) -> str:
    names = {bool: "a boolean", int: "an integer", float: "a decimal number", str: "a string", dict: "an object"}
    return names.get(type(value), "null" if value is None else "an array")
