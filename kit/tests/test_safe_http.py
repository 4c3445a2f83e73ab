"""The client for customers' addresses: it reaches public servers only, waits and reads only so much, follows nobody."""

import asyncio
import gzip
import ipaddress
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kit.safe_http import MAX_ANSWER_BYTES, AddressRefusedError, SafeClient
from kit.testing import eventually

Serve = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Receiver:
    """A customer's server: it keeps the requests and answers with whatever the test wants."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.requests: list[bytes] = []
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(
            next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")).split()[1]
        )
        self.requests.append(head + await reader.readexactly(length))
        try:
            await self._serve(writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def receiver(serve: Serve) -> AsyncIterator[Receiver]:
    found = Receiver(serve)
    async with await asyncio.start_server(found.handle, "127.0.0.1", 0) as server:
        found.port = server.sockets[0].getsockname()[1]
        yield found


def answer(body: bytes = b"ok", *, status: str = "200 OK", headers: str = "") -> Serve:
    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    return serve


@pytest.fixture
async def local() -> AsyncIterator[SafeClient]:
    """A client that may call loopback, as in development."""
    client = SafeClient(allow_loopback=True, timeout_seconds=5)
    yield client
    await client.close()


@pytest.fixture
async def strict() -> AsyncIterator[SafeClient]:
    client = SafeClient()
    yield client
    await client.close()


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Let every name resolve to these addresses, one a look-up; returns the names that were asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


class TestAddresses:
    @pytest.mark.parametrize(
        "host",
        [
            *("127.0.0.1", "127.255.0.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
            *("100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
            *("[::]", "[::1]", "[fc00::1]", "[fe80::1]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]"),
            *("[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]", "[::127.0.0.1]"),
            *("[64:ff9b::10.0.0.1]", "[2002:7f00:1::]", "[2001:0:1::1]"),
            *("2130706433", "0x7f000001", "0177.0.0.1", "127.1"),
        ],
    )
    async def test_what_is_not_a_public_address_is_refused(self, strict: SafeClient, host: str) -> None:
        with pytest.raises(AddressRefusedError, match=r"not a public address|not a URL"):
            await strict.check(f"http://{host}/hook")

    @pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "[::ffff:8.8.8.8]"])
    async def test_a_public_address_may_be_called(self, strict: SafeClient, host: str) -> None:
        await strict.check(f"https://{host}:8443/hook")

    @pytest.mark.parametrize("private", ["10.0.0.1", "169.254.169.254", "fd00::1", "::ffff:192.168.0.1"])
    async def test_a_name_is_judged_by_what_it_resolves_to(
        self, strict: SafeClient, monkeypatch: pytest.MonkeyPatch, private: str
    ) -> None:
        resolving(monkeypatch, private)
        with pytest.raises(AddressRefusedError, match=r"example\.com resolves to"):
            await strict.check("https://example.com/hook")

    async def test_development_opens_loopback_and_nothing_else(self, local: SafeClient) -> None:
        await local.check("http://127.0.0.1/hook")
        await local.check("http://[::1]/hook")
        for private in ("10.0.0.1", "169.254.169.254", "[fc00::1]"):
            with pytest.raises(AddressRefusedError):
                await local.check(f"http://{private}/hook")

    @pytest.mark.parametrize(
        "url",
        [
            *("ftp://8.8.8.8/", "file:///etc/passwd", "gopher://8.8.8.8/", "//8.8.8.8/", "8.8.8.8", "", "http://"),
            *("http://user:password@8.8.8.8/", "http://user@8.8.8.8/", "http://8.8.8.8:0/", "http://8.8.8.8:99999/"),
            *("http://[::1/", f"http://{'a' * 64}.example/", "http://a..b/", "http://\x00/"),
        ],
    )
    async def test_what_is_not_a_plain_web_address_is_refused(self, strict: SafeClient, url: str) -> None:
        with pytest.raises(AddressRefusedError):
            await strict.check(url)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the client keeps nothing of a check
    @given(url=st.text() | st.text().map("http://{}/".format) | st.ip_addresses().map("http://{}/".format))
    @example(url="http://xn--/")
    async def test_no_text_is_more_than_refused(self, strict: SafeClient, url: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            numeric = partial(socket.getaddrinfo, flags=socket.AI_NUMERICHOST)
            patch.setattr(socket, "getaddrinfo", numeric)  # ask no name server
            try:
                await strict.check(url)
            except (AddressRefusedError, httpx2.ConnectError):
                return
        assert ipaddress.ip_address(httpx2.URL(url).host).is_global


class TestCall:
    async def test_the_request_arrives_as_it_was_given(self, local: SafeClient) -> None:
        async with receiver(answer(b"thanks", status="201 Made", headers="X-Id: 7\r\n")) as there:
            found = await local.post(
                f"http://127.0.0.1:{there.port}/hook?a=b", content=b"{}", headers={"webhook-id": "dlv_1"}
            )

        assert (found.status, found.headers["x-id"], found.body) == (201, "7", b"thanks")
        (request,) = there.requests
        assert request.startswith(b"POST /hook?a=b HTTP/1.1\r\n")
        assert request.endswith(b"\r\n\r\n{}")
        assert b"webhook-id: dlv_1\r\n" in request

    async def test_the_connection_goes_to_the_address_that_was_judged(
        self, local: SafeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DNS rebinding: a second look-up would give a private address."""
        async with receiver(answer()) as there:
            asked = resolving(monkeypatch, "127.0.0.1", "10.0.0.1")
            found = await local.post(f"http://hooks.example.com:{there.port}/", content=b"", headers={})

        assert found.status == 200
        assert asked == ["hooks.example.com"]
        assert f"Host: hooks.example.com:{there.port}\r\n".encode() in there.requests[0]

    @pytest.mark.parametrize("dead", ["127.0.0.2", "::1"])
    async def test_an_address_that_leads_nowhere_is_followed_by_the_next(
        self, local: SafeClient, monkeypatch: pytest.MonkeyPatch, dead: str
    ) -> None:
        async with receiver(answer()) as there:
            both = [(socket.AF_UNSPEC, socket.SOCK_STREAM, 6, "", (host, there.port)) for host in (dead, "127.0.0.1")]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
            found = await local.post(f"http://hooks.example.com:{there.port}/", content=b"{}", headers={})

        assert found.status == 200
        assert len(there.requests) == 1

    async def test_an_address_that_took_the_request_is_followed_by_none(
        self, local: SafeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def hang_up(_: asyncio.StreamWriter) -> None: ...

        async with receiver(hang_up) as there:
            both = [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, there.port)) for host in ("127.0.0.1", "127.0.0.2")
            ]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
            with pytest.raises(httpx2.RemoteProtocolError):
                await local.post(f"http://hooks.example.com:{there.port}/", content=b"{}", headers={})

        assert len(there.requests) == 1

    async def test_a_redirect_is_an_answer_and_not_an_order(self, local: SafeClient) -> None:
        async with receiver(answer()) as inside:
            location = f"Location: http://127.0.0.1:{inside.port}/\r\n"
            async with receiver(answer(b"", status="307 Go", headers=location)) as there:
                found = await local.post(f"http://127.0.0.1:{there.port}/", content=b"", headers={})

        assert found.status == 307
        assert inside.requests == []

    async def test_an_endless_answer_is_cut(self, local: SafeClient) -> None:
        async def endless(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x" * 4096)
                await writer.drain()

        async with receiver(endless) as there:
            found = await local.post(f"http://127.0.0.1:{there.port}/", content=b"", headers={})

        assert found.body == b"x" * MAX_ANSWER_BYTES

    async def test_a_compressed_answer_is_not_blown_up(self, local: SafeClient) -> None:
        bomb = gzip.compress(b"\0" * 20_000_000)
        async with receiver(answer(bomb, headers="Content-Encoding: gzip\r\n")) as there:
            found = await local.post(f"http://127.0.0.1:{there.port}/", content=b"", headers={})

        assert found.body == bomb[:MAX_ANSWER_BYTES]


class TestSlowness:
    @pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal"])
    async def test_an_answer_that_is_not_complete_in_time_is_none(self, said: bytes) -> None:
        done = asyncio.Event()

        async def stall(writer: asyncio.StreamWriter) -> None:
            writer.write(said)
            await done.wait()

        client = SafeClient(allow_loopback=True, timeout_seconds=0.2)
        async with receiver(stall) as there:
            with pytest.raises(httpx2.TimeoutException):
                await client.post(f"http://127.0.0.1:{there.port}/", content=b"", headers={})
            done.set()
        await client.close()

    async def test_a_drop_at_a_time_does_not_extend_the_time(self) -> None:
        async def drip(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.05)

        client = SafeClient(allow_loopback=True, timeout_seconds=0.3)
        async with receiver(drip) as there:
            with pytest.raises(httpx2.TimeoutException):
                await client.post(f"http://127.0.0.1:{there.port}/", content=b"", headers={})
        await client.close()

    async def test_a_name_server_that_does_not_answer_counts_too_and_stops_nobody_else(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers.wait())
        client = SafeClient(timeout_seconds=0.1)
        calls = [client.post("http://hooks.example.com/", content=b"", headers={}) for _ in range(40)]

        try:
            errors = await asyncio.gather(*calls, return_exceptions=True)
            async with asyncio.timeout(10):
                assert await asyncio.to_thread(int) == 0
        finally:
            answers.set()
            await client.close()

        assert all(isinstance(error, httpx2.TimeoutException) for error in errors)

    async def test_no_call_waits_for_another_when_there_are_as_many_connections(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        many = 80
        looked_up, arrived = threading.Barrier(many, timeout=5), asyncio.Barrier(many)

        def getaddrinfo(_host: str, port: int, **_: Any) -> list[Any]:
            looked_up.wait()
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        async def serve(writer: asyncio.StreamWriter) -> None:
            await arrived.wait()
            await answer()(writer)

        client = SafeClient(allow_loopback=True, timeout_seconds=5, connections=many)
        async with receiver(serve) as there:
            monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
            post = partial(client.post, f"http://hooks.example.com:{there.port}/", content=b"", headers={})
            answers = await asyncio.gather(*(post() for _ in range(many)))
        await client.close()

        assert {found.status for found in answers} == {200}

    async def test_calls_that_were_given_up_leave_every_connection_to_the_next(self) -> None:
        awake = asyncio.Event()

        async def sleepy(writer: asyncio.StreamWriter) -> None:
            await awake.wait()
            await answer()(writer)

        client = SafeClient(allow_loopback=True, timeout_seconds=0.2, connections=4)
        async with receiver(sleepy) as there:

            async def call(times: int) -> list[Any]:
                post = partial(client.post, f"http://127.0.0.1:{there.port}/", content=b"", headers={})
                return await asyncio.gather(*(post() for _ in range(times)), return_exceptions=True)

            assert all(isinstance(error, httpx2.TimeoutException) for error in await call(40))
            awake.set()
            await eventually(lambda: _all_ok(call(4)))
        await client.close()

    async def test_a_server_that_is_away_is_told(self, local: SafeClient) -> None:
        with pytest.raises(httpx2.ConnectError):
            await local.post("http://127.0.0.1:1/", content=b"", headers={})


async def _all_ok(called: Awaitable[list[Any]]) -> bool:
    return [getattr(answered, "status", None) for answered in await called] == [200] * 4
