"""Turns templates into answers that load nothing from elsewhere; the policy header makes sure of that."""

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(template: str, **values: Any) -> HTMLResponse:
    html = _environment.get_template(template).render(**values)
    return HTMLResponse(html, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})


def _readable(body: str) -> str:
    """JSON with line breaks; anything else as it came."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body


def _clock(timestamp: str) -> str:
    return timestamp[11:19]


_environment = Environment(loader=PackageLoader("twins.pages"), autoescape=True, undefined=StrictUndefined)
_environment.filters["readable"] = _readable
_environment.filters["clock"] = _clock
