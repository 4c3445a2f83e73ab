"""HTTP in: the model catalogue with the health of each model."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Row

from generation import model_health
from generation.catalogue import Model, catalogue
from generation.schemas import ModelList, ModelPause, ModelView
from kit.http import ReadDep
from kit.identity import CallerDep


def make_router(*, model: str) -> APIRouter:
    """The routes of generation, which makes new jobs with ``model``."""
    router = APIRouter(prefix="/v1", tags=["models"])

    @router.get("/models", summary="List models")
    async def list_models(session: ReadDep, _: CallerDep) -> ModelList:
        """The models that pictures are or were made with."""
        asleep = await model_health.paused(session)
        return ModelList(data=[_view(known, current=model, asleep=asleep) for known in catalogue().values()])

    return router


def _view(model: Model, *, current: str, asleep: Mapping[str, Row[Any]]) -> ModelView:
    pause = asleep.get(model.name)
    return ModelView(
        name=model.name,
        provider=model.provider,
        status=model.status(datetime.now(UTC).date()),
        current=model.name == current,
        sizes=list(model.sizes),
        qualities=list(model.qualities),
        list_price_usd={size: dict(prices) for size, prices in model.list_price_usd.items()}
        if model.list_price_usd
        else None,
        shutdown_date=model.shutdown_date,
        successor=model.successor,
        paused=ModelPause(until=pause.open_until, failure=pause.failure) if pause else None,
    )
