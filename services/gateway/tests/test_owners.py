"""Gateway's connections to the other services."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from gateway import owners
from gateway.owners import Owner, OwnerClient
from kit.identity import Caller, Minter
from kit.testing import IDENTITY

CONNECTIONS = 4
AT_ONCE = "/v1/credits/at-once"


@asynccontextmanager
async def answering(name: str, when: asyncio.Event) -> AsyncIterator[Owner]:
    """An owner that answers when it is let, and one path always."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if AT_ONCE.encode() not in head:
                    await when.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield Owner(name, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", ("/v1/credits",))
    server.close()
    await server.wait_closed()


async def test_questions_that_were_given_up_leave_every_connection_usable(monkeypatch) -> None:
    """An owner under load answers too late: the next question must not wait for a connection that nobody has."""
    monkeypatch.setattr(owners, "LIMITS", httpx2.Limits(max_connections=CONNECTIONS))
    now = asyncio.Event()
    async with answering("billing", now) as slow:
        client = OwnerClient(Minter(IDENTITY.private_key), (slow,))
        for _ in range(5):
            asked = [client.get_json(slow, "/v1/credits", seconds=0.02) for _ in range(10 * CONNECTIONS)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(answer, httpx2.TransportError) for answer in answers)
        now.set()

        found = await asyncio.gather(*(client.get_json(slow, "/v1/credits", seconds=5) for _ in range(CONNECTIONS)))

        assert found == [{}] * CONNECTIONS
        await client.close()


async def test_what_is_asked_for_one_caller_leaves_connections_to_others_and_to_gateway(monkeypatch) -> None:
    """Opening a page, or citing a quote, again and again must not make billing silent for everybody."""
    monkeypatch.setattr(owners, "LIMITS", httpx2.Limits(max_connections=CONNECTIONS))
    crowd, another = (Caller(name, "key", frozenset()) for name in ("crowd", "another"))
    async with answering("billing", asyncio.Event()) as slow:
        client = OwnerClient(Minter(IDENTITY.private_key), (slow,))
        asked = [
            asyncio.create_task(client.get_json(slow, "/v1/credits", caller=crowd, seconds=30))
            for _ in range(10 * CONNECTIONS)
        ]
        await asyncio.wait(asked, timeout=0)

        found = [await client.get_json(slow, AT_ONCE, caller=caller, seconds=3) for caller in (another, None)]

        assert found == [{}, {}]
        for task in asked:
            task.cancel()
        await asyncio.wait(asked)
        await client.close()


async def test_an_owner_that_does_not_answer_takes_no_connection_of_another() -> None:
    never, now = asyncio.Event(), asyncio.Event()
    now.set()
    async with answering("publishing", never) as hanging, answering("billing", now) as healthy:
        client = OwnerClient(Minter(IDENTITY.private_key), (hanging, healthy))
        asked = [asyncio.create_task(client.get_json(hanging, "/v1/credits", seconds=30)) for _ in range(250)]
        await asyncio.wait(asked, timeout=0)

        found = await client.get_json(healthy, "/v1/credits", seconds=5)

        assert found == {}
        for task in asked:
            task.cancel()
        await asyncio.wait(asked)
        await client.close()
