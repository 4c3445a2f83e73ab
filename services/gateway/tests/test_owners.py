"""Gateway's connections to the other services."""

import asyncio
import contextlib

import httpx2

from gateway import owners
from gateway.owners import Owner, OwnerClient
from kit.identity import Minter
from kit.testing import IDENTITY

CONNECTIONS = 4


async def test_questions_that_were_given_up_leave_every_connection_usable(monkeypatch) -> None:
    """An owner under load answers too late: the next question must not wait for a connection that nobody has."""
    monkeypatch.setattr(owners, "LIMITS", httpx2.Limits(max_connections=CONNECTIONS))
    answering = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                await answering.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = OwnerClient(Minter(IDENTITY.private_key))
    slow = Owner("billing", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", ("/v1/credits",))
    for _ in range(5):
        asked = [client.get_json(slow, "/v1/credits", seconds=0.02) for _ in range(10 * CONNECTIONS)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(answer, httpx2.TransportError) for answer in answers)
    answering.set()

    found = await asyncio.gather(*(client.get_json(slow, "/v1/credits", seconds=5) for _ in range(CONNECTIONS)))

    assert found == [{}] * CONNECTIONS
    await client.close()
    server.close()
    await server.wait_closed()
