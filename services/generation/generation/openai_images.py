"""OpenAI's image API through the official SDK: one picture per call, every failure put into its class.

The SDK's own retries are off, because only the caller knows whether a call may be repeated. Connections are reused for
a second at most: one that the server has just closed would look like a call without an answer.
"""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
from openai import (
    APIConnectionError,
    APIStatusError,
    AsyncOpenAI,
    DefaultAsyncHttpxClient,
)
from openai.types import ImagesResponse

from generation.catalogue import ProviderQuality
from generation.errors import Again, ProviderError, outcome_unknown, unusable
from kit.retry_after import parse_retry_after
from shared.failures import FailureClass

CONNECT_SECONDS = 5.0
KEEPALIVE_SECONDS = 1.0
RATE_LIMIT_PAUSE_SECONDS = 5.0  # when a 429 names no time
REFUSED_PAUSE_SECONDS = 60.0  # a key or a budget is mended by a person
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 3600.0
DETAIL_CHARACTERS = 500
MAX_ANSWER_BYTES = 40 * 1024 * 1024  # the largest picture that may be kept takes 22 MiB in base64
MAX_TOKENS = 10_000_000  # for one picture: a count above is none

UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
MODERATION_CODES = frozenset({"moderation_blocked", "content_policy_violation"})
DESCRIBES_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding"})
RETRYABLE_STATUS = frozenset({408, 409})


@dataclass(frozen=True, slots=True)
class ImageOrder:
    """One picture in the provider's words. ``key`` is the Idempotency-Key, the same for the same attempt only."""

    model: str
    prompt: str
    size: str
    quality: ProviderQuality
    key: str


@dataclass(frozen=True, slots=True)
class ImageAnswer:
    """The bytes of a picture, not looked at yet. ``usage`` is in tokens, None when they were not told."""

    data: bytes
    request_id: str | None
    usage: Mapping[str, int] | None


class _BoundedClient(DefaultAsyncHttpxClient):
    """Reads no answer beyond a limit, decompressed or not, whatever its status; the SDK itself reads to the end."""

    async def send(self, request: httpx2.Request, **how: Any) -> httpx2.Response:
        response = await super().send(request, **{**how, "stream": True})
        body: list[bytes] = []
        size = 0
        try:
            async for chunk in response.aiter_bytes():
                body.append(chunk)
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    request_id = response.headers.get("x-request-id")
                    limit = MAX_ANSWER_BYTES // 1024**2
                    raise unusable(f"The provider's answer has more than {limit} MiB.", request_id=request_id)
        finally:
            await response.aclose()
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in DESCRIBES_WIRE]
        return httpx2.Response(response.status_code, headers=headers, content=b"".join(body), request=response.request)


class OpenAIImages:
    """The images endpoint of OpenAI, or of whatever speaks its protocol at ``base_url``."""

    def __init__(self, *, api_key: str, base_url: str, timeout_seconds: float, connections: int) -> None:
        self._client = AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            http_client=_BoundedClient(
                timeout=httpx2.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
                limits=httpx2.Limits(max_connections=connections, keepalive_expiry=KEEPALIVE_SECONDS),
            ),
        )

    async def make(self, order: ImageOrder, *, seconds: float) -> ImageAnswer:
        """Make one picture within ``seconds``. Raises ProviderError."""
        try:
            async with asyncio.timeout(seconds):
                raw = await self._client.images.with_raw_response.generate(
                    prompt=order.prompt,
                    model=order.model,
                    n=1,
                    size=order.size,
                    quality=order.quality,
                    output_format="png",
                    extra_headers={"Idempotency-Key": order.key},
                )
        except TimeoutError as error:
            raise outcome_unknown(f"The provider did not answer within {seconds:.0f} s.") from error
        except APIStatusError as error:
            raise _refusal(error) from error
        except APIConnectionError as error:
            raise _disconnection(error) from error
        try:
            return _read(raw.parse(), raw.request_id)
        except ProviderError:
            raise
        except Exception as error:  # the provider has answered: whatever cannot be read of it, nothing is unknown
            raise unusable("The provider's answer cannot be read.", request_id=raw.request_id) from error

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()


def _read(answer: ImagesResponse, request_id: str | None) -> ImageAnswer:
    # a body that is not the announced JSON reaches us as whatever it was
    images = answer.data if isinstance(answer, ImagesResponse) else None
    if not images or not images[0].b64_json:
        raise unusable("The provider's answer holds no picture.", request_id=request_id)
    try:
        data = base64.b64decode(images[0].b64_json, validate=True)
    except binascii.Error as error:
        raise unusable("The provider's picture is not base64.", request_id=request_id) from error
    return ImageAnswer(data, request_id, _tokens(answer.usage))


def _tokens(usage: object) -> Mapping[str, int] | None:
    """The counts that the cost follows, or None: a picture is good whatever was counted, and the SDK checks nothing."""
    counts = {name: getattr(usage, name, None) for name in ("input_tokens", "output_tokens")}
    known = {name: count for name, count in counts.items() if type(count) is int and 0 <= count <= MAX_TOKENS}
    return known if len(known) == len(counts) else None


def _disconnection(error: APIConnectionError) -> ProviderError:
    """Before the request left, a repeat is safe; afterwards nobody knows what the provider did."""
    if isinstance(error.__cause__, UNSENT):
        return ProviderError(FailureClass.PROVIDER_FAULT, "The provider cannot be reached.", again=Again.COUNTED)
    return outcome_unknown(f"The connection broke after the request was sent ({type(error.__cause__).__name__}).")


def _refusal(error: APIStatusError) -> ProviderError:
    """The class of an answer with an error status."""
    status, pause = error.status_code, _wished_pause(error)
    if status == 429 and error.code != "insufficient_quota":
        pause = max(pause, MIN_PAUSE_SECONDS) if pause is not None else RATE_LIMIT_PAUSE_SECONDS
        return _problem(FailureClass.RATE_LIMITED, error, again=Again.FREE, pause_seconds=pause)
    if status in {401, 403, 429}:
        return _problem(FailureClass.PROVIDER_REJECTED, error, pause_seconds=REFUSED_PAUSE_SECONDS)
    if status >= 500 or status in RETRYABLE_STATUS:
        return _problem(FailureClass.PROVIDER_FAULT, error, again=Again.COUNTED, pause_seconds=pause)
    if error.code in MODERATION_CODES:
        return _problem(_moderation(error), error)
    return _problem(FailureClass.PROVIDER_REJECTED, error)


def _moderation(error: APIStatusError) -> FailureClass:
    # the code is the same for both; only the sentence tells that a finished picture was withheld
    return FailureClass.OUTPUT_MODERATED if "generated image" in _message(error) else FailureClass.INPUT_MODERATED


def _problem(
    failure: FailureClass, error: APIStatusError, *, again: Again = Again.NEVER, pause_seconds: float | None = None
) -> ProviderError:
    return ProviderError(
        failure,
        f"{error.status_code}: {_message(error)}"[:DETAIL_CHARACTERS],
        again=again,
        request_id=error.request_id,
        pause_seconds=pause_seconds,
    )


def _message(error: APIStatusError) -> str:
    """The provider's words as PostgreSQL takes them: JSON may hold NUL and halves of surrogate pairs."""
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    return str(message or error.message).replace("\x00", "").encode(errors="replace").decode()


def _wished_pause(error: APIStatusError) -> float | None:
    seconds = parse_retry_after(error.response.headers.get("retry-after"), now=datetime.now(UTC))
    return None if seconds is None else min(seconds, MAX_PAUSE_SECONDS)
