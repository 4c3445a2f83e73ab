"""Health: live, ready and degraded are three things, and only the database decides over readiness."""

import asyncio
from dataclasses import replace

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from kit import outbox, testing
from kit.service import RoleDiedError, Service
from kit.testing import eventually, records
from toy.app import build
from toy.events import MarkMade


async def test_a_running_service_is_live_ready_and_well(toy_on_kafka: Service) -> None:
    toy = toy_on_kafka
    async with toy.running(), testing.client(toy) as http:
        await eventually(lambda: toy.relay.active and toy.consumer.assigned)
        health = (await http.get("/health")).json()

        assert (await http.get("/livez")).json() == {"status": "live"}
        assert (await http.get("/readyz")).status_code == 200
        assert (health["service"], health["status"]) == ("toy", "ok")
        assert set(health["checks"]) == {"database", "outbox", "dead_letters", "consumer", "relay"}
        assert 'atelier_consumer_active{service="toy"} 1.0' in (await http.get("/metrics")).text


async def test_without_its_database_a_service_is_live_but_not_ready(toy: Service) -> None:
    nowhere = SecretStr("postgresql+asyncpg://x:x@127.0.0.1:1/x")
    away = build(toy.settings.model_copy(update={"database_url": nowhere}))
    async with testing.client(away) as http:
        ready = await http.get("/readyz")
        health = (await http.get("/health")).json()

        assert (await http.get("/livez")).status_code == 200
        assert (ready.status_code, ready.json()["status"]) == (503, "waiting")
        assert (health["status"], health["checks"]["database"]["ok"]) == ("degraded", False)
        assert "x:x" not in str(health)


async def test_without_kafka_a_service_is_ready_and_degraded(toy: Service) -> None:
    away = build(toy.settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"}))
    async with away.running(), testing.client(away) as http:
        health = (await http.get("/health")).json()

        assert (await http.get("/readyz")).status_code == 200
        assert health["status"] == "degraded"
        assert 'atelier_consumer_active{service="toy"} 0.0' in (await http.get("/metrics")).text
        assert {name for name, check in health["checks"].items() if not check["ok"]} == {"consumer", "relay"}


async def test_roles_that_this_process_does_not_have_are_no_reason_to_complain(toy: Service) -> None:
    toy.roles = frozenset({"api"})
    async with testing.client(toy) as http:
        assert (await http.get("/health")).json()["status"] == "ok"


@pytest.mark.parametrize(("up", "status"), [(True, "ok"), (False, "degraded")])
async def test_what_a_service_can_do_without_degrades_it_and_is_a_metric(toy: Service, up: bool, status: str) -> None:
    richer = replace(toy, roles=frozenset({"api"}), checks={"redis": lambda: up})
    async with testing.client(richer) as http:
        health = (await http.get("/health")).json()
        metrics = (await http.get("/metrics")).text

        assert (await http.get("/readyz")).status_code == 200
    assert (health["status"], health["checks"]["redis"]) == (status, {"ok": up})
    assert f'atelier_dependency_up{{dependency="redis",service="toy"}} {float(up)}' in metrics


@pytest.mark.parametrize("check", ["outbox", "dead_letters"])
async def test_old_events_and_dead_letters_degrade(toy: Service, check: str) -> None:
    toy.roles = frozenset({"api"})
    if check == "outbox":
        async with toy.db.write() as session:
            outbox.add(session, MarkMade(thing="a"))
            await outbox.flush(session)
            await session.execute(text("UPDATE outbox SET created_at = now() - interval '31 seconds'"))
    else:
        await toy.edge.handle(records(MarkMade(thing="poison")))
    async with testing.client(toy) as http:
        health = (await http.get("/health")).json()
        metrics = (await http.get("/metrics")).text

    assert health["status"] == "degraded"
    assert not health["checks"][check]["ok"]
    assert 'atelier_outbox_pending{service="toy"}' in metrics


async def test_a_service_that_stops_is_not_ready(toy: Service) -> None:
    async with toy.running():
        pass
    async with testing.client(toy) as http:
        answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "stopping"})


async def test_a_role_that_dies_of_an_error_it_does_not_know_ends_the_process(toy: Service) -> None:
    async def die() -> None:
        raise ZeroDivisionError

    settings = toy.settings.model_copy(update={"http_port": 0})
    broken = replace(toy, settings=settings, roles=frozenset({"api"}), background=[die])

    with pytest.raises(RoleDiedError, match="background"):
        await asyncio.wait_for(broken.serve(), 10)


async def test_what_piles_up_is_counted_up_to_a_limit(toy: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_COUNTED", 2)
    async with toy.db.write() as session:
        for thing in "abc":
            outbox.add(session, MarkMade(thing=thing))

    async with toy.db.read() as session:
        waiting, age = await outbox.pending(session)

    assert waiting == 2
    assert age >= 0
