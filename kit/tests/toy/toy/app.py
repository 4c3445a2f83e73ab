"""The composition root of the toy service."""

from typing import Any

from pydantic_settings import SettingsConfigDict
from sqlalchemy import insert, text

from kit import outbox
from kit.cli import migrations_folder
from kit.database import Database, WriteSession
from kit.invariants import Invariant
from kit.service import Service
from kit.settings import ServiceSettings
from kit.subscriptions import on
from toy.events import COUNTS, MARKS, CountChanged, MarkErased, MarkMade
from toy.models import calls, metadata

_COUNT = text(
    "INSERT INTO counts (thing, count) SELECT thing, sum(weight)"
    " FROM unnest(CAST(:things AS text[]), CAST(:weights AS int[])) AS m(thing, weight) GROUP BY thing ORDER BY thing"
    " ON CONFLICT (thing) DO UPDATE SET count = counts.count + excluded.count RETURNING thing, count"
)


class ToySettings(ServiceSettings):
    """Settings of the toy service."""

    model_config = SettingsConfigDict(env_prefix="TOY_", frozen=True, extra="ignore")


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


async def _call(session: WriteSession, name: str, events: list[Any]) -> None:
    await session.execute(insert(calls).values(type=name, things=",".join(event.thing for event in events)))


def build(settings: ToySettings) -> Service:
    """The toy service."""
    return Service(
        name="toy",
        settings=settings,
        db=Database(settings.database_url.get_secret_value(), name="toy", pool_size=settings.database_pool_size),
        metadata=metadata,
        migrations=migrations_folder(__file__),
        topics=(MARKS, COUNTS),
        subscriptions=(
            on(MarkMade, on_mark_made, where=lambda event: event.weight != 0),
            on(MarkErased, on_mark_erased),
        ),
        invariants=(Invariant("counts_are_positive", "No count is negative.", "SELECT * FROM counts WHERE count < 0"),),
    )
