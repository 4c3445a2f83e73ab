"""The demo's client takes up a broken stream where it ended and passes on what the API says when something is wrong."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from devstack.errors import StackError
from devstack.journey import ALL_FACTS, DELIVERED, KEPT, MADE, PAID, SETTLED, Client
from devstack.ports import HOST

OWNERS = {PAID: "billing", MADE: "generation", KEPT: "storage", DELIVERED: "publishing", SETTLED: "billing"}


def event(seq: int, name: str, **data: str) -> bytes:
    service = OWNERS.get(name, "generation")
    content = {
        "seq": seq,
        "type": f"atelier.{service}.{name}.v1",
        "service": service,
        "time": "2026-11-21T12:00:00Z",
        "data": data,
    }
    return f": keepalive\n\nid: {seq}\nevent: {name}\ndata: {json.dumps(content)}\n\n".encode()


@dataclass
class Api:
    """Answers each request with the next prepared body; remembers where a stream was taken up."""

    url: str = ""
    prepared: list[tuple[int, bytes]] = field(default_factory=list)
    taken_up: list[str | None] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                api.taken_up.append(self.headers.get("last-event-id"))
                status, body = api.prepared.pop(0)
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815  the names that the base class looks for

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Nothing: the test's output is not a place for access logs."""

        return Handler


@pytest.fixture
def api() -> Iterator[Api]:
    prepared = Api()
    server = ThreadingHTTPServer((HOST, 0), prepared.handler())
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    prepared.url = f"http://{HOST}:{server.server_port}"
    yield prepared
    server.shutdown()
    serving.join()
    server.server_close()


class TestWatch:
    def test_a_stream_that_breaks_off_is_taken_up_where_it_ended(self, api: Api) -> None:
        first, second = event(2, PAID) + event(3, MADE), event(4, KEPT) + event(5, SETTLED) + event(6, DELIVERED)
        api.prepared += [(200, first), (200, second)]

        with Client(api.url, "key") as client:
            facts = list(client.watch("job_1", timeout=20))

        assert {fact.name for fact in facts} == ALL_FACTS
        assert [fact.service for fact in facts][:3] == ["billing", "generation", "storage"]
        assert api.taken_up == ["0", "3"]

    def test_a_job_that_fails_is_told_with_its_reason(self, api: Api) -> None:
        api.prepared.append((200, event(2, PAID) + event(3, "job-failed", failure="moderation", detail="not this one")))

        with (
            Client(api.url, "key") as client,
            pytest.raises(StackError, match=r"job-failed \(moderation: not this one\)"),
        ):
            list(client.watch("job_1", timeout=20))


class TestRequestPicture:
    def test_a_refusal_is_told_in_the_words_of_the_api(self, api: Api) -> None:
        api.prepared.append(
            (402, json.dumps({"title": "Payment required", "detail": "4 credits needed, 1 left"}).encode())
        )

        with Client(api.url, "key") as client, pytest.raises(StackError, match="POST /v1/jobs was refused: 4 credits"):
            client.request_picture("a harbour", {"url": "http://127.0.0.1/hooks"})
