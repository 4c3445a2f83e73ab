"""HTTP in: the model catalogue with the health of each model."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Row

from generation import model_health
from generation.catalogue import Model, catalogue
from generation.schemas import ModelList, ModelPause, ModelView
from kit.http import ReadDep
from kit.identity import CallerDep

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/models")
async def list_models(request: Request, session: ReadDep, _: CallerDep) -> ModelList:
    """The models that pictures are or were made with."""
    current = request.app.state.service.settings.openai_image_model
    asleep = await model_health.paused(session)
    return ModelList(data=[_view(model, current=current, asleep=asleep) for model in catalogue().values()])


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
