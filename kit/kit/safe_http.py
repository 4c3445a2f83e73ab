"""The one HTTP client for addresses that customers give: no private ranges, pinned resolution, caps on size and time.

A name is resolved once and the connection goes to those very addresses, so a second DNS answer cannot redirect it
(DNS rebinding); one that cannot be connected to is followed by the next. Redirects are not followed.
"""

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import httpx2

MAX_ANSWER_BYTES = 64 * 1024
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_PLAIN = (
    ipaddress.IPv6Network("2001::/32"),  # Teredo
    ipaddress.IPv6Network("2002::/16"),  # 6to4
    ipaddress.IPv6Network("3fff::/20"),  # documentation (RFC 9637)
)
MAX_PORT = 65_535
TIMEOUT_SECONDS = 15.0
CONNECTIONS = 64
LOOK_UPS = 2  # for each connection: one that hangs keeps its thread for longer than anybody waits for it


class AddressRefusedError(Exception):
    """The address may not be called; trying again cannot help. The message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said. ``body`` is cut at 64 KB."""

    status: int
    headers: httpx2.Headers
    body: bytes


class SafeClient:
    """Posts to customers' addresses. ``allow_loopback`` is for development only.

    ``connections``: as many calls as the caller makes at once. One more waits for another to end, in time that counts
    as its receiver's.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        timeout_seconds: float = TIMEOUT_SECONDS,
        connections: int = CONNECTIONS,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(timeout_seconds, connect=5.0),
            follow_redirects=False,
            trust_env=False,
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=0),
        )
        self._timeout_seconds = timeout_seconds
        # apart from the loop's own few threads, which everything else uses
        self._look_ups = ThreadPoolExecutor(LOOK_UPS * connections, thread_name_prefix="look-up")

    async def post(self, url: str, *, content: bytes, headers: dict[str, str]) -> Answer:
        """Send one POST. Raises AddressRefusedError, or httpx2.HTTPError when there is no answer in time."""
        target = _parse(url)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._post(target, content, headers)
        except TimeoutError as error:
            raise httpx2.ReadTimeout("no complete answer in time") from error

    async def check(self, url: str) -> None:
        """Raise AddressRefusedError when the address may not be called."""
        await self._resolve(_parse(url))

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()
        self._look_ups.shutdown(wait=False, cancel_futures=True)

    async def _post(self, target: httpx2.URL, content: bytes, headers: dict[str, str]) -> Answer:
        *others, last = await self._resolve(target)
        for address in others:
            try:
                return await self._post_to(address, target, content, headers)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue  # nothing was sent; an IPv6 address leads nowhere from a network without
        return await self._post_to(last, target, content, headers)

    async def _post_to(self, address: str, target: httpx2.URL, content: bytes, headers: dict[str, str]) -> Answer:
        request = self._client.build_request(
            "POST",
            target.copy_with(host=address),
            content=content,
            headers={**headers, "Host": target.netloc.decode("ascii")},
            extensions={"sni_hostname": target.raw_host.decode("ascii")},
        )
        response = await self._client.send(request, stream=True)
        try:
            return Answer(response.status_code, response.headers, await _read_capped(response))
        finally:
            await response.aclose()

    async def _resolve(self, url: httpx2.URL) -> list[str]:
        """The addresses of the host, each judged, in the order in which they are to be tried."""
        host = url.raw_host.decode("ascii")
        if url.scheme not in {"http", "https"} or not host:
            raise AddressRefusedError("only http and https addresses can be called")
        if url.userinfo:
            raise AddressRefusedError("the address must not contain a user name or password")
        port = url.port if url.port is not None else {"https": 443, "http": 80}[url.scheme]
        if not 0 < port <= MAX_PORT:
            raise AddressRefusedError("the address has no valid port")
        try:
            look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
            found = await asyncio.get_running_loop().run_in_executor(self._look_ups, look_up)
        except socket.gaierror as error:
            raise httpx2.ConnectError(f"{host} cannot be resolved") from error
        except UnicodeError as error:
            raise AddressRefusedError("the address has no valid host name") from error
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        for address in addresses:
            if not self._allowed(address):
                raise AddressRefusedError(f"{host} resolves to {address}, which is not a public address")
        return [str(address) for address in dict.fromkeys(addresses)]

    def _allowed(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if address.is_loopback:
            return self._allow_loopback
        if isinstance(address, ipaddress.IPv6Address) and not _is_plain_unicast(address):
            return False
        return address.is_global and not address.is_multicast


def _parse(url: str) -> httpx2.URL:
    try:
        return httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise AddressRefusedError("the address is not a URL") from error


def _is_plain_unicast(address: ipaddress.IPv6Address) -> bool:
    """Whether no translation hides an IPv4 address in it, as in ``::127.0.0.1``, ``64:ff9b::/96`` or ``2002::/16``."""
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PLAIN)


async def _read_capped(response: httpx2.Response) -> bytes:
    body = b""
    async for part in response.aiter_raw():  # compressed or not, what arrives is what counts
        body += part
        if len(body) >= MAX_ANSWER_BYTES:
            return body[:MAX_ANSWER_BYTES]
    return body
