"""Signals over a real Valkey: they wake whoever listens, and nobody misses the server when it is away."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from redis.asyncio import Redis

from devstack.infra import Infra
from kit import reachability, signals
from kit.signals import CHANNEL, KEEP_SECONDS, Signals
from kit.testing import Stack, eventually


@asynccontextmanager
async def running(url: str, namespace: str = "") -> AsyncIterator[Signals]:
    instance = Signals(url, namespace=namespace)
    receiving = asyncio.create_task(instance.run())
    try:
        yield instance
    finally:
        receiving.cancel()
        await asyncio.wait([receiving])
        await instance.close()


async def heard(queue: asyncio.Queue[dict[str, Any]], sender: Signals, job: str) -> dict[str, Any]:
    """Send until one arrives: a signal may be lost."""

    async def attempt() -> dict[str, Any] | None:
        sender.send((job, {"step": 1}))
        try:
            return await asyncio.wait_for(queue.get(), 0.2)
        except TimeoutError:
            return None

    found = await eventually(attempt, timeout=20)
    assert found is not None
    return found


class TestDelivery:
    async def test_a_signal_reaches_the_listeners_of_its_job_in_every_process(self, stack: Stack) -> None:
        namespace = uuid.uuid4().hex
        async with running(stack.redis_url, namespace) as one, running(stack.redis_url, namespace) as two:
            await eventually(lambda: one.connected and two.connected)
            with one.listen("job_1") as here, two.listen("job_1") as there, two.listen("job_2") as other:
                one.send(("job_1", {"step": 1}), ("job_1", {"step": 2}))
                for queue in (here, there):
                    assert await asyncio.wait_for(queue.get(), 5) == {"job_id": "job_1", "step": 1}
                    assert await asyncio.wait_for(queue.get(), 5) == {"job_id": "job_1", "step": 2}
                assert other.empty()

    async def test_namespaces_do_not_hear_each_other(self, stack: Stack) -> None:
        ours, theirs = uuid.uuid4().hex, uuid.uuid4().hex
        async with running(stack.redis_url, ours) as one, running(stack.redis_url, theirs) as two:
            await eventually(lambda: one.connected and two.connected)
            with one.listen("job_1") as here, two.listen("job_1") as there:
                one.send(("job_1", {"step": 1}))
                assert await asyncio.wait_for(here.get(), 5)
                assert there.empty()

    async def test_a_listener_that_does_not_read_holds_nobody_up(self, stack: Stack) -> None:
        async with running(stack.redis_url, uuid.uuid4().hex) as bus:
            await eventually(lambda: bus.connected)
            with bus.listen("job_1") as full, bus.listen("job_2") as quick:
                bus.send(*(("job_1", {"step": number}) for number in range(300)), ("job_2", {"step": 0}))
                assert await asyncio.wait_for(quick.get(), 5) == {"job_id": "job_2", "step": 0}
                assert full.full()

    @pytest.mark.parametrize("garbage", ["", "not json", "[1]", "null", '{"job_id": ["job_1"]}', '"job_1"'])
    async def test_garbage_on_the_channel_is_ignored(self, stack: Stack, garbage: str) -> None:
        namespace = uuid.uuid4().hex
        async with running(stack.redis_url, namespace) as bus, Redis.from_url(stack.redis_url) as redis:
            await eventually(lambda: bus.connected)
            with bus.listen("job_1") as queue:
                assert await redis.publish(f"{namespace}{CHANNEL}", garbage) == 1
                bus.send(("job_1", {"step": 1}))
                assert await asyncio.wait_for(queue.get(), 5) == {"job_id": "job_1", "step": 1}


class TestLast:
    async def test_who_comes_later_finds_the_last_signal_of_each_part(self, stack: Stack) -> None:
        namespace, job = uuid.uuid4().hex, uuid.uuid4().hex
        async with running(stack.redis_url, namespace) as sender, running(stack.redis_url, namespace) as late:
            sender.send((job, {"part": 0, "step": 1}), (job, {"part": 1, "step": 1}), last_of="part")
            sender.send((job, {"part": 0, "step": 2}), last_of="part")
            sender.send((job, {"part": 0, "step": 3}), (uuid.uuid4().hex, {"step": 4}))

            async def both() -> list[dict[str, Any]]:
                found = await late.last(job)
                return found if len(found) == 2 else []

            found = await eventually(both)

        assert sorted(found, key=lambda signal: signal["part"]) == [
            {"job_id": job, "part": 0, "step": 2},
            {"job_id": job, "part": 1, "step": 1},
        ]

    async def test_it_is_there_when_the_signal_arrives_and_goes_by_itself(self, stack: Stack) -> None:
        namespace = uuid.uuid4().hex
        async with running(stack.redis_url, namespace) as bus, Redis.from_url(stack.redis_url) as redis:
            await eventually(lambda: bus.connected)
            with bus.listen("job_1") as queue:
                bus.send(("job_1", {"part": 0}), last_of="part")
                signal = await asyncio.wait_for(queue.get(), 5)
                assert await bus.last("job_1") == [signal]
            [key] = await redis.keys(f"{namespace}*")
            assert 0 < await redis.ttl(key) <= KEEP_SECONDS

    @pytest.mark.parametrize("garbage", ["", "not json", "1", "null", "{}", '{"job_id": ["job_1"]}'])
    async def test_garbage_among_them_is_ignored(self, stack: Stack, garbage: str) -> None:
        namespace = uuid.uuid4().hex
        async with running(stack.redis_url, namespace) as bus, Redis.from_url(stack.redis_url) as redis:
            await redis.hset(f"{namespace}{CHANNEL}:job_1", mapping={"0": garbage, "1": '{"job_id": "job_1"}'})
            assert await bus.last("job_1") == [{"job_id": "job_1"}]


class TestOutage:
    @pytest.fixture
    def infra(self, tmp_path: Path) -> Iterator[Infra]:
        servers = Infra(tmp_path, parts=("valkey",))
        servers.start()
        yield servers
        servers.kill()

    async def test_without_a_server_sending_is_no_error_and_is_told_of_once(self) -> None:
        with structlog.testing.capture_logs() as logs:
            async with running("redis://127.0.0.1:1/0") as bus:
                with bus.listen("job_1"):
                    bus.send(("job_1", {"step": 1}))
                    await eventually(lambda: bus._sending is not None and bus._sending.done())
                assert await bus.last("job_1") == []
                assert not bus.connected
                assert not bus.reachable()

        assert [entry["event"] for entry in logs] == ["redis.lost"]

    async def test_a_server_that_stands_still_holds_nobody_up(self, infra: Infra) -> None:
        async with running(infra.valkey.url) as bus:
            bus.send(("job_1", {"part": 0}), last_of="part")
            await eventually(lambda: bus.last("job_1"))
            infra.valkey.pause()
            began = asyncio.get_running_loop().time()
            assert await bus.last("job_1") == []
            assert asyncio.get_running_loop().time() - began < 2 * signals.LAST_SECONDS
            infra.valkey.resume()
            assert await eventually(lambda: bus.last("job_1"))

    async def test_who_only_sends_learns_from_sending_whether_the_server_is_there(self, infra: Infra) -> None:
        bus = Signals(infra.valkey.url)

        async def told() -> bool:
            bus.send(("job_1", {"step": 1}))
            await eventually(lambda: bus._sending is not None and bus._sending.done())
            return bus.reachable()

        assert await told()
        await asyncio.to_thread(infra.valkey.kill)
        assert not await told()
        await asyncio.to_thread(infra.start)
        assert await eventually(told)
        await bus.close()

    async def test_who_has_nothing_to_send_learns_as_well_that_it_is_back(
        self, infra: Infra, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reachability, "ASK_SECONDS", 0.05)
        bus = Signals(infra.valkey.url)
        await asyncio.to_thread(infra.valkey.kill)
        bus.send(("job_1", {"step": 1}))
        await eventually(lambda: not bus.reachable())
        asking = asyncio.create_task(bus.ask_while_lost())

        await asyncio.to_thread(infra.start)
        await eventually(bus.reachable)

        asking.cancel()
        await bus.close()

    async def test_a_server_that_comes_back_is_found_again(self, infra: Infra, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(signals, "RECONNECT_SECONDS", 0.05)
        with structlog.testing.capture_logs() as logs:
            async with running(infra.valkey.url) as bus:
                with bus.listen("job_1") as queue:
                    await eventually(lambda: bus.connected)
                    await asyncio.to_thread(infra.valkey.kill)
                    await eventually(lambda: not bus.connected)
                    bus.send(("job_1", {"step": 0}))
                    await asyncio.to_thread(infra.start)
                    await eventually(lambda: bus.connected)
                    assert (await heard(queue, bus, "job_1"))["job_id"] == "job_1"

        assert [entry["event"] for entry in logs] == ["redis.lost", "redis.returned"]
