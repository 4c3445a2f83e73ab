"""Counts what is asked of the S3 server: a proxy that passes every byte on and reads the first line of each request.

Signatures stay valid because the Host header is passed on as it came.
"""

import asyncio
from collections import Counter
from urllib.parse import urlsplit

DERIVATIVE = "/derivatives/"


class S3Proxy:
    """`requests` counts by method; what is about thumbnails is counted apart as `thumbnail GET` and so on."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = parts.hostname or "", parts.port or 80
        self.requests: Counter[str] = Counter()
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()

    async def _serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        server, onward = await asyncio.open_connection(*self._target)
        back = asyncio.create_task(_pass_on(server, answer))
        try:
            while True:
                head = await client.readuntil(b"\r\n\r\n")
                self._count(head)
                onward.write(head)
                left = _length(head)
                while left:
                    body = await client.read(left)
                    left -= len(body)
                    onward.write(body)
                await onward.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            onward.close()
            await back

    def _count(self, head: bytes) -> None:
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        self.requests[f"thumbnail {method}" if DERIVATIVE in path else method] += 1


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        pass
    finally:
        sink.close()


def _length(head: bytes) -> int:
    _, announced, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if announced else 0
