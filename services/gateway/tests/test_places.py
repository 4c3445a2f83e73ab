"""Whoever holds one of the few places in front of the database waits for no client and asks for no second place."""

import asyncio

import pytest
from fastapi.routing import iter_route_contexts

from kit.http import ReadDep, WriteDep

POOL_SIZE = 2
PLACES = 3
SESSIONS = {annotation.__metadata__[0].dependency for annotation in (ReadDep, WriteDep)}
OPENS_ITS_OWN = {"/enter"}
"""Takes a body and opens its session itself."""


def routes_of(service):
    """Every route, with its dependencies in the order in which they are solved."""
    routes = [route for route in iter_route_contexts(service.create_app().routes) if hasattr(route, "dependant")]
    return [(route, flat(route.dependant)) for route in routes]


def flat(dependant):
    return [call for part in dependant.dependencies for call in (*flat(part), part.call)]


@pytest.fixture
def overrides():
    return {"database_pool_size": POOL_SIZE}


@pytest.fixture
async def announce(live):
    """Send the headers of a request, and never its body; the first line that comes back."""
    writers = []

    async def send(method, path, media_type):
        url = live.http.base_url
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writers.append(writer)
        lines = (
            f"{method} {path} HTTP/1.1",
            "Host: a",
            "Origin: http://a",
            f"Authorization: Bearer {live.key}",
            f"Content-Type: {media_type}",
            "Content-Length: 10",
            "Expect: 100-continue",  # answered when the body is asked for
            "",
            "",
        )
        writer.write("\r\n".join(lines).encode())
        return await reader.readline()

    yield send
    for writer in writers:
        writer.close()


async def test_whose_body_does_not_come_keeps_nobody_out(gateway, live, announce):
    waited = set()
    for route, calls in routes_of(gateway):
        if not SESSIONS & set(calls) and route.path not in OPENS_ITS_OWN:
            continue
        path = route.path_format.replace("{", "").replace("}", "")
        for method in route.methods:
            asked = [announce(method, path, "application/json") for _ in range(PLACES)]
            if any(b" 100 " in line for line in await asyncio.gather(*asked)):
                waited.add(path)

            assert (await live.http.get("/v1/me")).status_code == 200

    assert waited == {"/webhooks/stripe", "/enter", "/v1/api-keys"}


async def test_a_session_comes_behind_everything_else_that_a_route_needs(gateway):
    """What stands behind it may wait for a body, or look a key up, which takes a place of its own."""
    routes = [(route, calls) for route, calls in routes_of(gateway) if SESSIONS & set(calls)]

    assert len(routes) >= 10
    assert [route.path for route, calls in routes if calls[-1] not in SESSIONS] == []
