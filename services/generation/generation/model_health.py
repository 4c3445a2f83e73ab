"""Models that take no calls for now: one row per model, seen by every worker of every process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Row, func, select
from sqlalchemy.dialects.postgresql import insert

from generation.models import model_health
from kit.database import ReadSession, WriteSession
from kit.leases import now_plus
from shared.failures import FailureClass

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pause:
    """Nobody may call ``model`` for ``seconds``."""

    model: str
    seconds: float
    failure: FailureClass


async def paused(session: ReadSession | WriteSession) -> Mapping[str, Row[Any]]:
    """The models that are paused now, by name."""
    query = select(model_health).where(model_health.c.open_until > func.now())
    return {row.model: row for row in await session.execute(query)}


async def pause(session: WriteSession, pauses: Sequence[Pause]) -> None:
    """Pause models; a longer pause that is known already stays."""
    longest = {wanted.model: wanted for wanted in sorted(pauses, key=lambda wanted: wanted.seconds)}
    for model in sorted(longest):
        wanted = longest[model]
        values = {"open_until": now_plus(wanted.seconds), "failure": wanted.failure}
        statement = insert(model_health).values(model=model, **values)
        changes = {name: statement.excluded[name] for name in values}
        longer = model_health.c.open_until < statement.excluded.open_until
        await session.execute(statement.on_conflict_do_update(index_elements=["model"], set_=changes, where=longer))
        tell = log.error if wanted.failure is FailureClass.PROVIDER_REJECTED else log.warning
        tell("model.paused", model=model, seconds=wanted.seconds, failure=wanted.failure)
