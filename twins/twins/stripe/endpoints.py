"""Webhook endpoints: where events go, and the secret they are signed with."""

from twins.stripe.account import Change, Object
from twins.stripe.ids import new_id
from twins.stripe.params import EndpointCreate, EndpointUpdate, Params

# A sandbox makes three attempts over a few hours; here over seconds, unless the control API says otherwise.
RETRY_SECONDS = (2.0, 10.0)


def create_endpoint(change: Change, params: EndpointCreate) -> Object:
    """The one answer that carries the secret."""
    endpoint = put_endpoint(change, url=params.url, enabled_events=params.enabled_events, secret=new_secret())
    endpoint = change.update(
        endpoint["id"], description=params.description, metadata=params.metadata, api_version=params.api_version
    )
    return endpoint | {"secret": endpoint["_secret"]}


def put_endpoint(
    change: Change,
    *,
    url: str,
    enabled_events: list[str],
    secret: str,
    retry_seconds: tuple[float, ...] = RETRY_SECONDS,
) -> Object:
    """The endpoint of this URL, new or changed."""
    known = next((e for e in change.all("webhook_endpoint") if e["url"] == url), None)
    return change.put(
        {
            "id": known["id"] if known else new_id("we"),
            "object": "webhook_endpoint",
            "api_version": None,
            "application": None,
            "created": known["created"] if known else change.now,
            "description": None,
            "enabled_events": enabled_events,
            "livemode": False,
            "metadata": {},
            "status": "enabled",
            "url": url,
            "_secret": secret,
            "_retry_seconds": list(retry_seconds),
        }
    )


def update_endpoint(change: Change, params: EndpointUpdate, endpoint_id: str) -> Object:
    before = change.find("webhook_endpoint", endpoint_id)
    fields = params.model_dump(include=params.model_fields_set - {"expand", "metadata", "disabled"})
    if params.disabled is not None:
        fields["status"] = "disabled" if params.disabled else "enabled"
    return change.update(endpoint_id, **fields, metadata=before["metadata"] | (params.metadata or {}))


def delete_endpoint(change: Change, _params: Params, endpoint_id: str) -> Object:
    change.find("webhook_endpoint", endpoint_id)
    change.update(endpoint_id, deleted=True)
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}


def new_secret() -> str:
    return f"whsec_{new_id('x', 32)[2:]}"
