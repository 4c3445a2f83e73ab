"""More uploads than can be answered in time: some are taken in, the rest are told so, and nothing of them is kept."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import pytest
from prometheus_client import REGISTRY

from kit.service import Service
from kit.testing import client, emitted, eventually
from shared.ids import new_id
from storage import uploads
from storage.pictures import Picture
from storage.processes import Processes
from storage.uploads import Upload, Uploads

Send = Callable[..., Awaitable[httpx2.Response]]


MIB = 1024 * 1024


class Gate:
    """Pictures that are being cleaned, by their widths, each until it is let through."""

    def __init__(self) -> None:
        self.arrived = 0
        self.at_work: list[int] = []
        self._through = asyncio.Semaphore(0)

    def let_through(self, count: int) -> None:
        for _ in range(count):
            self._through.release()

    async def run(self, function: Callable[[bytes, int], Picture], data: bytes, max_pixels: int) -> Picture:
        picture = function(data, max_pixels)
        self.at_work.append(picture.width)
        try:
            await self._through.acquire()
        finally:
            self.at_work.remove(picture.width)
        return picture


@pytest.fixture
def gate(monkeypatch) -> Gate:
    """Cleaning stands still until the test goes on."""
    gate, put = Gate(), Uploads.put

    def arrive(self: Uploads, data: bytes, *, account_id: str) -> Awaitable[Upload]:
        gate.arrived += 1
        return put(self, data, account_id=account_id)

    monkeypatch.setattr(Uploads, "put", arrive)
    monkeypatch.setattr(Processes, "run", lambda _, *arguments: gate.run(*arguments))
    return gate


@pytest.fixture
def one_process(monkeypatch) -> None:
    """As in Docker Compose; before ``storage`` is built."""
    monkeypatch.setenv("STORAGE_UPLOAD_PROCESSES", "1")


@pytest.fixture
def send(storage: Service, png) -> Send:
    """Uploads a picture that is ``width`` pixels wide, or just these bytes, in parts if asked."""

    async def send(account_id: str, width: int = 20, *, data: bytes | None = None, parts: int = 0) -> httpx2.Response:
        form = httpx2.Request("POST", "http://service.test", files={"file": ("a.png", data or png(width, 10))})
        body, media_type = form.read(), form.headers["Content-Type"]

        async def in_parts():
            size = len(body) // parts
            for start in range(0, len(body), size):
                yield body[start : start + size]

        async with client(storage, account_id=account_id) as http:
            content = in_parts() if parts else body
            return await http.post("/v1/uploads", content=content, headers={"Content-Type": media_type})

    return send


def is_busy(answer: httpx2.Response) -> bool:
    return (
        (answer.status_code, answer.json()["code"]) == (503, "uploads_busy")
        and int(answer.headers["retry-after"]) > 0
        and answer.headers["content-type"] == "application/problem+json"
    )


def busy_refusals() -> float:
    labels = {"service": "storage", "method": "POST", "route": "/v1/uploads", "status": "503", "excuse": "busy"}
    return REGISTRY.get_sample_value("atelier_http_requests_total", labels) or 0.0


class TestNotInTime:
    async def test_what_cannot_be_in_time_is_told_so_and_leaves_nothing(
        self, one_process, storage, send, gate, rows, blobs, monkeypatch
    ) -> None:
        monkeypatch.setattr(uploads, "PATIENCE_SECONDS", 0.5)
        accounts = [new_id("acc") for _ in range(5)]
        sending = [asyncio.create_task(send(account)) for account in accounts for _ in range(2)]

        await eventually(lambda: sum(task.done() for task in sending) == 9)
        refused = [task.result() for task in sending if task.done()]
        gate.let_through(2)
        answers = await asyncio.gather(*sending)
        again = await send(accounts[-1])

        taken = [answer.json()["id"] for answer in [*answers, again] if answer.status_code == 201]
        keys = [found.object_name for found in blobs._client.list_objects(blobs.bucket, recursive=True)]
        kept = await rows("SELECT id, object_key FROM assets")
        ordered = await rows("SELECT asset_id FROM derivatives")
        assert all(is_busy(answer) for answer in refused)
        assert len(taken) == 2
        assert {row["id"] for row in kept} == {row["asset_id"] for row in ordered} == set(taken)
        assert {row["object_key"] for row in kept} == set(keys)
        assert {event.asset_id for event in await emitted(storage.db)} == set(taken)

    async def test_what_is_not_clean_in_time_is_given_up(
        self, one_process, storage, send, gate, rows, monkeypatch
    ) -> None:
        monkeypatch.setattr(uploads, "CLEAN_SECONDS", 0.5)

        refusals = busy_refusals()
        answer = await send(new_id("acc"))

        assert is_busy(answer)
        assert busy_refusals() == refusals + 1  # no fault of ours, so nobody is called
        assert gate.at_work == []
        assert await rows("SELECT 1 FROM assets") == []
        monkeypatch.setattr(uploads, "CLEAN_SECONDS", 60.0)
        gate.let_through(1)
        assert (await send(new_id("acc"))).status_code == 201

    def test_the_longest_wait_and_the_longest_honest_work_fit_what_gateway_waits(self) -> None:
        slowest_honest, gateway_waits = 12, 30

        assert uploads.PATIENCE_SECONDS + slowest_honest <= uploads.CLEAN_SECONDS < gateway_waits
        assert slowest_honest < uploads.CLEANING_CPU_SECONDS < uploads.CLEAN_SECONDS


class TestFairness:
    async def test_one_account_cannot_have_both_processes(self, storage, send, gate) -> None:
        hostile = new_id("acc")
        flood = [asyncio.create_task(send(hostile, 30)) for _ in range(3)]
        await eventually(lambda: gate.arrived == 3)
        assert gate.at_work == [30]

        other = asyncio.create_task(send(new_id("acc"), 40))
        await eventually(lambda: sorted(gate.at_work) == [30, 40])

        gate.let_through(4)
        answers = await asyncio.gather(*flood, other)
        assert {answer.status_code for answer in answers} == {201}

    async def test_of_one_process_the_next_turn_is_another_account_s(self, one_process, storage, send, gate) -> None:
        hostile = new_id("acc")
        flood = [asyncio.create_task(send(hostile, 30)) for _ in range(3)]
        await eventually(lambda: gate.arrived == 3)
        other = asyncio.create_task(send(new_id("acc"), 40))
        await eventually(lambda: gate.arrived == 4)

        gate.let_through(1)

        await eventually(lambda: gate.at_work == [40])
        gate.let_through(3)
        assert {answer.status_code for answer in await asyncio.gather(*flood, other)} == {201}


class TestMemory:
    @pytest.fixture(autouse=True)
    def _little(self, monkeypatch) -> None:
        monkeypatch.setenv("STORAGE_UPLOADS_MEMORY", "16")

    async def test_what_has_no_room_is_refused_and_room_comes_back(self, storage, send, gate, rows, png) -> None:
        large = png(20, 10) + bytes(9 * MIB)
        holding = asyncio.create_task(send(new_id("acc"), data=large))
        await eventually(lambda: gate.at_work)

        announced = await send(new_id("acc"), data=large)
        unannounced = await send(new_id("acc"), data=large, parts=100)
        small = asyncio.create_task(send(new_id("acc")))
        await eventually(lambda: gate.arrived == 2)
        gate.let_through(3)
        kept = await asyncio.gather(holding, small)
        again = await send(new_id("acc"), data=large)

        assert is_busy(announced)
        assert is_busy(unannounced)
        assert {answer.status_code for answer in [*kept, again]} == {201}
        assert len(await rows("SELECT 1 FROM assets")) == 3

    async def test_what_announces_too_much_is_told_that_it_is_too_large(self, storage, send) -> None:
        answer = await send(new_id("acc"), data=bytes(20 * MIB))

        assert answer.status_code == 413
