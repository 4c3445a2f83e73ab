"""The composition root of the toy service."""

from typing import Any

from fastapi import APIRouter
from pydantic_settings import SettingsConfigDict
from sqlalchemy import insert, text

from kit import outbox
from kit.cli import migrations_folder
from kit.consumer import Consumer
from kit.database import Database, WriteSession
from kit.http import WriteDep
from kit.invariants import Invariant
from kit.service import Service
from kit.settings import ServiceSettings
from kit.subscriptions import on
from toy.events import COUNTS, JARS, LIDS, MARKS, CountChanged, JarClosed, JarFilled, LidFound, MarkErased, MarkMade
from toy.models import calls, metadata

_COUNT = text(
    "INSERT INTO counts (thing, count) SELECT thing, sum(weight)"
    " FROM unnest(CAST(:things AS text[]), CAST(:weights AS int[])) AS m(thing, weight) GROUP BY thing ORDER BY thing"
    " ON CONFLICT (thing) DO UPDATE SET count = counts.count + excluded.count RETURNING thing, count"
)
_FILL = text(
    "INSERT INTO jars (jar, filled) SELECT jar, true FROM unnest(CAST(:jars AS text[])) AS j(jar) ORDER BY jar"
    " ON CONFLICT (jar) DO UPDATE SET filled = true RETURNING jar, filled AND lidded AS complete"
)
_LID = text(
    "INSERT INTO jars (jar, lidded) SELECT jar, true FROM unnest(CAST(:jars AS text[])) AS j(jar) ORDER BY jar"
    " ON CONFLICT (jar) DO UPDATE SET lidded = true RETURNING jar, filled AND lidded AS complete"
)

router = APIRouter()


class ToySettings(ServiceSettings):
    """Settings of the toy service."""

    model_config = SettingsConfigDict(env_prefix="TOY_", frozen=True, extra="ignore")

    session_timeout_ms: int = 2_000


@router.post("/marks", status_code=201)
async def make_mark(mark: MarkMade, session: WriteDep) -> dict[str, str]:
    """Note the call and emit the mark."""
    await _call(session, "make_mark", [mark])
    outbox.add(session, mark)
    return {"thing": mark.thing}


async def on_mark_made(session: WriteSession, events: list[MarkMade]) -> None:
    """Count marks; a thing called ``poison`` cannot be counted."""
    if any(event.thing == "poison" for event in events):
        raise ValueError("poison cannot be counted")
    await _call(session, "MarkMade", events)
    things = {"things": [event.thing for event in events], "weights": [event.weight for event in events]}
    counted = {row.thing: row.count for row in await session.execute(_COUNT, things)}
    for event in events:
        outbox.add(session, CountChanged(thing=event.thing, count=counted[event.thing]), cause=event)


async def on_mark_erased(session: WriteSession, events: list[MarkErased]) -> None:
    """Take marks back."""
    await _call(session, "MarkErased", events)
    await session.execute(_COUNT, {"things": [event.thing for event in events], "weights": [-1] * len(events)})


async def on_jar_filled(session: WriteSession, events: list[JarFilled]) -> None:
    """Close the jar if its lid is there."""
    _close(session, await session.execute(_FILL, {"jars": [event.jar for event in events]}))


async def on_lid_found(session: WriteSession, events: list[LidFound]) -> None:
    """Close the jar if it is full."""
    _close(session, await session.execute(_LID, {"jars": [event.jar for event in events]}))


def _close(session: WriteSession, rows: Any) -> None:
    for row in rows:
        if row.complete:
            outbox.add(session, JarClosed(jar=row.jar))


async def _call(session: WriteSession, name: str, events: list[Any]) -> None:
    await session.execute(insert(calls).values(type=name, things=",".join(event.thing for event in events)))


def build(settings: ToySettings) -> Service:
    """The toy service."""
    service = Service(
        name="toy",
        settings=settings,
        db=Database(settings.database_url.get_secret_value(), name="toy", pool_size=settings.database_pool_size),
        metadata=metadata,
        migrations=migrations_folder(__file__),
        topics=(MARKS, COUNTS, JARS, LIDS),
        routers=(router,),
        subscriptions=(
            on(MarkMade, on_mark_made, where=lambda event: event.weight != 0),
            on(MarkErased, on_mark_erased),
            on(JarFilled, on_jar_filled),
            on(LidFound, on_lid_found),
        ),
        invariants=(Invariant("counts_are_positive", "No count is negative.", "SELECT * FROM counts WHERE count < 0"),),
    )
    # A killed member is missed sooner than in production, so that proofs need not wait for it.
    service.consumer = Consumer(
        service.edge,
        service="toy",
        bootstrap=settings.kafka_bootstrap,
        topics=service.consumer_topics,
        topic_prefix=settings.kafka_topic_prefix,
        session_timeout_ms=settings.session_timeout_ms,
    )
    return service
