"""Bodies: read after the caller is known, and before a session is asked for, since whoever sends one may take long.

JSON has to be of the right media type, is checked strictly, and documented.
"""

import json
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from gateway.errors import not_json, not_valid_json
from kit.problems import invalid

B = TypeVar("B", bound=BaseModel)


async def _raw_body(request: Request) -> bytes:
    return await request.body()


RawBody = Annotated[bytes, Depends(_raw_body)]
"""The bytes of the body as they came. Raises HTTPException 413."""


def json_body(model: type[B]) -> Any:
    """A dependency that reads the body as ``model``. Raises Problem 400, 415 or 422, or HTTPException 413."""

    async def read(request: Request) -> B:
        media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise not_json()
        try:
            return model.model_validate(parse_json(await request.body()))
        except ValidationError as error:
            raise invalid(error.errors(include_url=False, include_context=False, include_input=False)) from error

    return Depends(read)


def parse_json(body: bytes) -> Any:
    """The value of a JSON text. Raises Problem 400."""
    try:
        return json.loads(body.decode(), parse_float=_number, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise not_valid_json() from error


def _number(text: str) -> int | float:
    """JSON knows one kind of number: 2.0 is the integer 2."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """``openapi_extra`` of a route whose body is ``model``."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
