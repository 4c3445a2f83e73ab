"""Servers that are killed under load, or away at the start: nothing is lost and nothing counts twice."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import text

from devstack.infra import Infra
from kit import consumer, outbox, patience, relay, testing
from kit.service import Service
from kit.testing import Stack, eventually
from toy.app import ToySettings, build
from toy.events import MarkMade
from toy.load import load
from toy.reading import counts, make_topics, settled

pytestmark = [
    pytest.mark.slow,
    pytest.mark.connected,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("own_servers"),
]


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Infra]:
    servers = Infra(Path(tmp_path_factory.mktemp("servers")), parts=("postgres", "kafka"))
    servers.start()
    yield servers
    servers.kill()


@pytest.fixture
async def toy(infra: Infra) -> AsyncIterator[Service]:
    """The toy service on servers that nobody else uses."""
    own = Stack(postgres_url=infra.postgres.admin_dsn, kafka_bootstrap=infra.kafka.bootstrap)
    async with testing.service("toy", ToySettings, build, own) as service:
        await make_topics(service)
        yield service


class TestKafka:
    async def test_a_broker_killed_under_load_loses_nothing(self, infra: Infra, toy: Service) -> None:
        process = build(toy.settings)
        async with process.running(), load(toy) as marks:
            await marks.progress(100)
            await asyncio.to_thread(infra.kafka.kill)
            await asyncio.to_thread(_start_kafka, infra)
            await marks.progress(200)
            await marks.assert_exact()

    async def test_a_service_that_starts_without_a_broker_waits_for_it_and_says_so(
        self, infra: Infra, toy: Service
    ) -> None:
        await asyncio.to_thread(infra.kafka.kill)
        process = build(toy.settings)
        with structlog.testing.capture_logs() as logs:
            async with process.running():
                async with toy.db.write() as session:
                    outbox.add(session, MarkMade(thing="a"))
                await eventually(lambda: {"relay.waiting", "consumer.waiting"} <= {entry["event"] for entry in logs})
                async with testing.client(process) as http:
                    assert (await http.get("/readyz")).status_code == 200
                    health = (await http.get("/health")).json()
                assert health["status"] == "degraded"
                assert not health["checks"]["relay"]["ok"]
                await asyncio.to_thread(_start_kafka, infra)
                await eventually(lambda: settled(toy), timeout=40)

        assert await counts(toy) == {"a": 1}

    async def test_a_broker_that_stands_still_is_told_of_until_it_goes_on(
        self, infra: Infra, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(relay, "ACKNOWLEDGE_SECONDS", 0.5)
        monkeypatch.setattr(consumer, "LAG_SECONDS", 1.0)
        process = build(toy.settings)

        async def not_well() -> set[str]:
            checks = (await http.get("/health")).json()["checks"]
            return {"relay", "consumer"} & {name for name, check in checks.items() if not check["ok"]}

        async def well() -> bool:
            return not await not_well()

        async def told() -> bool:
            return await not_well() == {"relay", "consumer"}

        with structlog.testing.capture_logs() as logs:
            async with process.running(), testing.client(process) as http:
                async with process.db.write() as session:
                    outbox.add(session, MarkMade(thing="a"))
                await eventually(lambda: settled(toy), timeout=40)
                await eventually(well, timeout=40)
                for broker in infra.kafka.brokers:
                    broker.pause()
                async with process.db.write() as session:
                    outbox.add(session, MarkMade(thing="b"))
                await eventually(told, timeout=40)
                for broker in infra.kafka.brokers:
                    broker.resume()
                await eventually(lambda: settled(toy), timeout=40)
                await eventually(well, timeout=40)

        assert {"relay.waiting", "lag.unknown"} <= {entry["event"] for entry in logs}
        assert await counts(toy) == {"a": 1, "b": 1}


class TestPostgres:
    async def test_a_database_killed_under_load_loses_nothing(self, infra: Infra, toy: Service) -> None:
        process = build(toy.settings)
        async with process.running(), load(toy) as marks:
            await marks.progress(100)
            await asyncio.to_thread(infra.postgres.kill)
            await asyncio.to_thread(_start_postgres, infra)
            await marks.progress(200)
            await marks.assert_exact()

    async def test_a_service_that_starts_without_its_database_waits_for_it_and_says_so(
        self, infra: Infra, toy: Service
    ) -> None:
        async with toy.db.write() as session:
            outbox.add(session, MarkMade(thing="a"))
        await toy.db.close()
        await asyncio.to_thread(infra.postgres.kill)
        process = build(toy.settings)
        with structlog.testing.capture_logs() as logs:
            async with process.running():
                await eventually(lambda: "relay.waiting" in {entry["event"] for entry in logs})
                async with testing.client(process) as http:
                    answers = [(await http.get(path)).status_code for path in ("/livez", "/readyz")]
                await asyncio.to_thread(_start_postgres, infra)
                await eventually(lambda: settled(toy), timeout=40)

        assert answers == [200, 503]
        assert await counts(toy) == {"a": 1}

    async def test_who_asks_while_it_stands_still_is_told_so_in_seconds(self, infra: Infra, toy: Service) -> None:
        process = build(toy.settings)
        async with testing.client(process) as http:
            assert (await http.post("/marks", json={"thing": "a"})).status_code == 201
            infra.postgres.pause()
            try:
                began = time.monotonic()
                answers = await asyncio.gather(*(http.post("/marks", json={"thing": "b"}) for _ in range(30)))
                seconds = time.monotonic() - began
            finally:
                infra.postgres.resume()
            told = {(answer.status_code, answer.json()["code"]) for answer in answers}
            assert (told, seconds < 10) == ({(503, "temporarily_unavailable")}, True)
            assert (await http.post("/marks", json={"thing": "c"})).status_code == 201
        await process.db.close()

    async def test_however_many_wonder_it_is_asked_rarely(self, toy: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        patience_of_all, asked = patience.Patience(toy.db), []
        connect = toy.db.connect

        async def counted() -> Any:
            asked.append(1)
            return await connect()

        monkeypatch.setattr(toy.db, "connect", counted)
        for _ in range(50):
            assert await patience_of_all._is_alive()

        assert len(asked) == 1

    async def test_who_asks_for_something_slow_is_not_given_up(
        self, infra: Infra, toy: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.05)
        process = build(toy.settings)
        async with testing.client(process) as http:
            async with toy.db.write() as session:
                await session.execute(text("LOCK TABLE calls"))
                asking = asyncio.create_task(http.post("/marks", json={"thing": "a"}))
                _, waiting = await asyncio.wait([asking], timeout=1)
                assert waiting
            assert (await asking).status_code == 201
        await process.db.close()


def _start_kafka(infra: Infra) -> None:
    infra.kafka.start()
    infra.kafka.wait_ready()


def _start_postgres(infra: Infra) -> None:
    infra.postgres.start()
    infra.postgres.wait_ready()
