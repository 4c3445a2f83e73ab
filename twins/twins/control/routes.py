"""HTTP of the control API under `/control`."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict

from twins.faults import Rule
from twins.state import ArtMode, Twins

router = APIRouter(prefix="/control", tags=["control"])


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    art: ArtMode


@router.get("/calls")
async def list_calls(
    twins: Twins,
    prompt_contains: str | None = None,
    api_key: str | None = None,
    idempotency_key: str | None = None,
    limit: Annotated[int, Query(ge=0, le=20_000)] = 100,
) -> dict[str, Any]:
    return twins.calls.report(
        prompt_contains=prompt_contains, api_key=api_key, idempotency_key=idempotency_key, limit=limit
    )


@router.delete("/calls", status_code=204)
async def forget_calls(twins: Twins) -> None:
    twins.calls.clear()


@router.get("/faults")
async def list_faults(twins: Twins) -> list[Rule]:
    return twins.faults.rules


@router.put("/faults")
async def replace_faults(twins: Twins, rules: list[Rule]) -> list[Rule]:
    twins.faults.replace(rules)
    return twins.faults.rules


@router.post("/faults", status_code=201)
async def add_fault(twins: Twins, rule: Rule) -> Rule:
    twins.faults.add(rule)
    return rule


@router.delete("/faults", status_code=204)
async def clear_faults(twins: Twins) -> None:
    twins.faults.replace([])


@router.delete("/faults/{rule_id}", status_code=204)
async def remove_fault(twins: Twins, rule_id: str) -> None:
    if not twins.faults.remove(rule_id):
        raise HTTPException(404, f"no fault rule {rule_id}")


@router.get("/settings")
async def read_settings(twins: Twins) -> Settings:
    return Settings(art=twins.art)


@router.put("/settings")
async def change_settings(twins: Twins, settings: Settings) -> Settings:
    twins.art = settings.art
    return settings
