"""What a caller sees: objects without the twin's own keys, `expand`, and lists in pages."""

import copy
from collections.abc import Callable, Iterable

from twins.stripe import errors
from twins.stripe.account import Change, Object, shown
from twins.stripe.params import ListParams, PageParams


def render(change: Change, item: Object, expand: Iterable[str] = ()) -> Object:
    """An object or a list with everything expanded that was asked for. Raises StripeError for what cannot be."""
    if item["object"] == "list":
        rendered = item | {"data": [_plain(change, element) for element in item["data"]]}
    else:
        rendered = _plain(change, item)
    for path in expand:
        _expand(change, rendered, path.split("."), path)
    return rendered


def as_list(url: str, data: list[Object], *, has_more: bool = False) -> Object:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def page(url: str, items: Iterable[Object], params: ListParams) -> Object:
    """One page of items that come newest first."""
    return paginate(url, [item for item in items if _within(item["created"], params)], params)


def paginate(url: str, items: list[Object], params: PageParams) -> Object:
    """One page of items in their order."""
    ids = [item["id"] for item in items]
    if params.ending_before:
        end = _position(ids, params.ending_before, "ending_before")
        begin = max(0, end - params.limit)
        return as_list(url, items[begin:end], has_more=begin > 0)
    begin = _position(ids, params.starting_after, "starting_after") + 1 if params.starting_after else 0
    end = begin + params.limit
    return as_list(url, items[begin:end], has_more=end < len(items))


def first_page(url: str, items: list[Object]) -> Object:
    """A list that stands within an object: its first page, and where the others are."""
    return paginate(url, items, PageParams())


def _plain(change: Change, item: Object) -> Object:
    plain = copy.deepcopy(shown(item))
    if item["object"] == "event":
        deliveries = change.account.deliveries_of(item["id"])
        plain["pending_webhooks"] = sum(delivery.state != "delivered" for delivery in deliveries)
    return plain


def _expand(change: Change, target: Object, path: list[str], whole: str) -> None:
    name, *rest = path
    if target.get("object") == "list" and name == "data":
        for element in target["data"]:
            _expand(change, element, rest, whole)
        return
    sub_list = _SUB_LISTS.get((str(target.get("object")), name))
    value = sub_list(change, target["id"]) if sub_list else target.get(name)
    if isinstance(value, str):
        value = _named(change, value, whole)
    elif value is None and name in target:
        return
    elif not isinstance(value, dict):
        raise _not_expandable(whole)
    target[name] = value
    if rest:
        _expand(change, value, rest, whole)


def _named(change: Change, object_id: str, whole: str) -> Object:
    try:
        return _plain(change, change.get(object_id))
    except KeyError:
        raise _not_expandable(whole) from None


def _not_expandable(path: str) -> errors.StripeError:
    return errors.invalid(f"This property cannot be expanded ({path}).", param="expand")


def _line_items(change: Change, session_id: str) -> Object:
    lines = copy.deepcopy(change.get(session_id)["_lines"])
    return first_page(f"/v1/checkout/sessions/{session_id}/line_items", lines)


def _invoice_payments(change: Change, invoice_id: str) -> Object:
    payments = [_plain(change, item) for item in change.all("invoice_payment") if item["invoice"] == invoice_id]
    return first_page("/v1/invoice_payments", payments)


def _refunds(change: Change, charge_id: str) -> Object:
    refunds = [_plain(change, refund) for refund in change.all("refund") if refund["charge"] == charge_id]
    return first_page(f"/v1/charges/{charge_id}/refunds", refunds)


def _subscriptions(change: Change, customer_id: str) -> Object:
    found = [_plain(change, item) for item in change.all("subscription") if item["customer"] == customer_id]
    return first_page(f"/v1/customers/{customer_id}/subscriptions", found)


# Lists that an object has only when they are expanded.
_SUB_LISTS: dict[tuple[str, str], Callable[[Change, str], Object]] = {
    ("checkout.session", "line_items"): _line_items,
    ("invoice", "payments"): _invoice_payments,
    ("charge", "refunds"): _refunds,
    ("customer", "subscriptions"): _subscriptions,
}


def _within(moment: int, params: ListParams) -> bool:
    wanted = params.created
    return (
        (wanted.gt is None or moment > wanted.gt)
        and (wanted.gte is None or moment >= wanted.gte)
        and (wanted.lt is None or moment < wanted.lt)
        and (wanted.lte is None or moment <= wanted.lte)
    )


def _position(ids: list[str], object_id: str, param: str) -> int:
    try:
        return ids.index(object_id)
    except ValueError:
        raise errors.no_such("object", object_id, param=param) from None
