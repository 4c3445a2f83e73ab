"""HTTP for Stripe's SDK, by httpx2 as everywhere.

The SDK's own client takes httpx and cannot be told limits: the pool of httpx keeps the connections of calls that were
given up in its queue, and closes idle ones that it has just given to a call.
"""

import asyncio
import ssl
from collections.abc import Mapping

import httpx2
import stripe


class StripeHttp(stripe.HTTPClient):
    """Answers within ``timeout`` seconds, the wait for one of the ``connections`` included, or APIConnectionError."""

    name = "httpx2"

    def __init__(self, *, timeout: float, connections: int) -> None:
        super().__init__()
        self._timeout = timeout
        self._http = httpx2.AsyncClient(
            timeout=timeout,
            limits=httpx2.Limits(max_connections=connections),
            verify=ssl.create_default_context(cafile=stripe.ca_bundle_path),
        )

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | bytes | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Status, headers and body of an answer. Raises stripe.APIConnectionError."""
        try:
            async with asyncio.timeout(self._timeout):  # the transport's own counts anew with every byte
                answer = await self._http.request(method, url, headers=headers, content=post_data)
        except TimeoutError as error:
            raise _away(f"Stripe did not answer within {self._timeout:g} s.") from error
        except httpx2.HTTPError as error:
            raise _away(f"Stripe cannot be reached: {error!r}") from error
        return answer.content, answer.status_code, answer.headers

    async def close_async(self) -> None:
        """Close pooled connections."""
        await self._http.aclose()


def _away(reason: str) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(reason)  # type: ignore[no-untyped-call]
