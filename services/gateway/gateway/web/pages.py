"""Turns templates into answers, under a policy that lets a page load nothing but its own files and its pictures."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from gateway.web.bundle import Bundle
from gateway.web.formats import FILTERS
from gateway.web.wording import humanized

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Pages:
    """All pages. ``media_url`` is where signed picture URLs point; unknown, pictures may come from any host."""

    def __init__(self, bundle: Bundle, *, media_url: str | None) -> None:
        self._environment = Environment(
            loader=PackageLoader("gateway.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(FILTERS)
        self._environment.filters["humanized"] = humanized
        self._environment.globals["static"] = bundle.url
        policy = {**POLICY, "img-src": f"'self' {media_url or 'http: https:'}"}
        self._headers = {
            **HEADERS,
            "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        }

    def render(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page as an answer."""
        html = self._environment.get_template(template).render(values)
        return HTMLResponse(html, status, headers=self._headers)
