"""One paid picture through the public REST API, as any customer's program would ask for it.

The only module that knows the shapes of the answers. What the API refuses, and a job that ends badly, is a
`StackError` with the API's own words.
"""

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2

from devstack.errors import StackError

# Facts that must all have happened before the journey is over, by event name.
PAID, MADE, KEPT, DELIVERED, SETTLED = (
    "credits-held",
    "artifact-produced",
    "asset-stored",
    "delivery-succeeded",
    "credits-settled",
)
ALL_FACTS = frozenset({PAID, MADE, KEPT, DELIVERED, SETTLED})
BAD_ENDS = frozenset({"job-failed", "job-refused", "job-cancelled", "asset-rejected", "delivery-failed"})


@dataclass(frozen=True)
class Fact:
    """One event of a job, as the live stream and the timeline tell it."""

    seq: int
    name: str
    service: str
    time: str
    data: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, raw: dict[str, Any]) -> Self:
        return cls(int(raw["seq"]), _event_name(raw["type"]), raw["service"], raw["time"], raw.get("data") or {})


@dataclass(frozen=True)
class Entry:
    """One line of the ledger: milli-credits into (+) or out of (-) an account."""

    transaction: str
    account: str
    amount: int


@dataclass(frozen=True)
class Picture:
    asset_id: str
    media_type: str
    content: bytes


class Client:
    """The public API with one account's key."""

    def __init__(self, url: str, api_key: str) -> None:
        self._http = httpx2.Client(base_url=url, headers={"authorization": f"Bearer {api_key}"}, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def request_picture(self, prompt: str, webhook: dict[str, str]) -> str:
        """Ask for one picture that is also delivered; the id of the accepted job."""
        body = {
            "kind": "image",
            "input": {"prompt": prompt, "size": "1024x1024", "quality": "standard", "n": 1},
            "deliver": {"webhook": webhook},
        }
        answer = self._http.post("/v1/jobs", json=body, headers={"idempotency-key": secrets.token_urlsafe(18)})
        return str(_checked(answer)["id"])

    def watch(self, job_id: str, timeout: float) -> Iterator[Fact]:
        """The job's events as they happen, until all facts are in. A stream that breaks off is taken up again."""
        missing, last_seq, deadline = set(ALL_FACTS), 0, time.monotonic() + timeout
        while missing:
            for fact in self._stream(job_id, last_seq, deadline):
                last_seq = fact.seq
                if fact.name in BAD_ENDS:
                    raise StackError(f"the job did not come through: {fact.name} {_why(fact.data)}")
                missing.discard(fact.name)
                yield fact
                if not missing:
                    return
            if time.monotonic() > deadline:
                raise StackError(f"after {timeout:.0f} s the job still waits for {', '.join(sorted(missing))}")

    def timeline(self, job_id: str) -> list[Fact]:
        return [Fact.read(event) for event in _checked(self._http.get(f"/v1/jobs/{job_id}/timeline"))["events"]]

    def ledger(self, job_id: str) -> list[Entry]:
        """The entries of the job, oldest transaction first."""
        transactions = _checked(self._http.get("/v1/credits/transactions", params={"job_id": job_id}))["data"]
        return [
            Entry(transaction["kind"], entry["account"], int(entry["amount"]))
            for transaction in reversed(transactions)
            for entry in transaction["entries"]
        ]

    def picture(self, job_id: str) -> Picture:
        """The first asset of the job with its bytes, fetched by its signed URL."""
        assets = _checked(self._http.get("/v1/assets", params={"job_id": job_id}))["data"]
        asset = _checked(self._http.get(f"/v1/assets/{assets[0]['id']}"))
        answer = httpx2.get(asset["url"], timeout=30)
        if answer.status_code != httpx2.codes.OK:
            raise StackError(f"the picture's signed URL answered {answer.status_code}")
        return Picture(asset["id"], asset["media_type"], answer.content)

    def deliveries(self, job_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = _checked(self._http.get("/v1/deliveries", params={"job_id": job_id}))["data"]
        return found

    def _stream(self, job_id: str, after: int, deadline: float) -> Iterator[Fact]:
        headers = {"accept": "text/event-stream", "last-event-id": str(after)}
        try:
            with self._http.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
                if answer.status_code != httpx2.codes.OK:
                    answer.read()
                    _checked(answer)
                for event, data in _server_sent_events(answer, deadline):
                    if event != "progress":
                        yield Fact.read(data)
        except httpx2.TransportError as error:
            if time.monotonic() > deadline:
                raise StackError(f"the live stream of the job broke off: {error}") from error


def _server_sent_events(answer: httpx2.Response, deadline: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and JSON of each event; comments keep the connection alive and are no events."""
    event, data = "message", ""
    for line in answer.iter_lines():
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data += value
        elif not line and data:
            yield event, json.loads(data)
            event, data = "message", ""
        if time.monotonic() > deadline:
            return


def _checked(answer: httpx2.Response) -> dict[str, Any]:
    """The JSON of a good answer; of a problem document its own sentence."""
    request = f"{answer.request.method} {answer.request.url.path}"
    try:
        content: dict[str, Any] = answer.json()
    except ValueError as error:
        raise StackError(f"{request} answered {answer.status_code} without JSON") from error
    if answer.is_error:
        raise StackError(f"{request} was refused: {content.get('detail') or content.get('title')}")
    return content


def _event_name(wire_type: str) -> str:
    """`atelier.billing.credits-held.v1` -> `credits-held`."""
    return wire_type.split(".")[-2] if wire_type.count(".") >= 2 else wire_type


def _why(data: dict[str, Any]) -> str:
    words = [str(data[key]) for key in ("code", "failure", "detail") if data.get(key)]
    return f"({': '.join(words)})" if words else ""
