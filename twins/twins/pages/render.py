"""Turns templates into answers that load nothing from elsewhere; the policy header makes sure of that."""

import json
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action {form_action}; frame-ancestors 'none'"
)


def page(template: str, *, status: int = 200, form_action: str = "'none'", **values: Any) -> HTMLResponse:
    """`form_action` names the origins that a form of this page may reach, redirects included."""
    html = _environment.get_template(template).render(**values)
    policy = POLICY.format(form_action=form_action)
    return HTMLResponse(html, status, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})


def _readable(body: str) -> str:
    """JSON with line breaks; anything else as it came."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body


def _clock(timestamp: str) -> str:
    return timestamp[11:19]


def _day(timestamp: int) -> str:
    return f"{datetime.fromtimestamp(timestamp, UTC):%-d %B %Y}"


def _moment(timestamp: int) -> str:
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M:%S}"


def _money(amount: int, currency: str) -> str:
    """Minor units of a currency with two decimals."""
    sign = {"usd": "$", "eur": "€", "gbp": "£"}.get(currency, f"{currency.upper()} ")
    return f"{sign}{amount / 100:,.2f}"


_environment = Environment(loader=PackageLoader("twins.pages"), autoescape=True, undefined=StrictUndefined)
_environment.filters["readable"] = _readable
_environment.filters["clock"] = _clock
_environment.filters["day"] = _day
_environment.filters["moment"] = _moment
_environment.filters["money"] = _money
