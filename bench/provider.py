"""A provider that answers at once: the images endpoint of OpenAI with one ready picture per size.

The twins are good to look at and cost processor time, which on a small machine is taken from what is measured.
`python -m bench.provider --port N`
"""

import argparse
import asyncio
import base64
import io
import json
from typing import cast

import uvloop
from PIL import Image

SIZES = ((1024, 1024), (1792, 1024), (1024, 1792), (1536, 1024), (1024, 1536))


def picture(size: tuple[int, int]) -> bytes:
    """A valid PNG that costs next to nothing to send and to decode."""
    file = io.BytesIO()
    Image.new("1", size, 1).save(file, "PNG")
    return file.getvalue()


def answer(size: tuple[int, int]) -> bytes:
    """The whole HTTP response for one size."""
    usage = {
        "input_tokens": 12,
        "output_tokens": 1056,
        "total_tokens": 1068,
        "input_tokens_details": {"text_tokens": 12, "image_tokens": 0},
    }
    content = {
        "created": 1_795_000_000,
        "data": [{"b64_json": base64.b64encode(picture(size)).decode()}],
        "size": f"{size[0]}x{size[1]}",
        "quality": "medium",
        "output_format": "png",
        "background": "opaque",
        "usage": usage,
    }
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: bench\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


ANSWERS = {f"{width}x{height}".encode(): answer((width, height)) for width, height in SIZES}
READY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Provider(asyncio.Protocol):
    """One connection. Requests are whole in the buffer once as many bytes came as their head announces."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := self._next()) is not None:
            self._transport.write(request)

    def _next(self) -> bytes | None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        _, announced, length = head.lower().partition(b"content-length:")
        size = int(length.partition(b"\r\n")[0]) if announced else 0
        if len(rest) < size:
            return None
        self._buffer = rest[size:]
        if not head.startswith(b"POST"):
            return READY
        wanted = rest[:size].partition(b'"size":')[2].partition(b'"')[2].partition(b'"')[0]
        return ANSWERS[wanted]


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))
