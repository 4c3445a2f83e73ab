"""Stripe's form encoding: `a[b][c]=1` nests, `a[0][b]=1` and `a[]=1` make lists.

Digits make a list only where a list is meant: the keys of `metadata` are names, whatever they look like.
"""

from typing import Any
from urllib.parse import parse_qsl

from twins.stripe import errors

NAMED = frozenset({"metadata"})


def decode(encoded: str) -> dict[str, Any]:
    """Nested parameters of a form body or a query. Raises StripeError for a name that contradicts another."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        _put(tree, name, _path(name), value)
    return {name: _with_lists(name, value) for name, value in tree.items()}


def _path(name: str) -> list[str]:
    head, bracket, rest = name.partition("[")
    if not bracket:
        return [head]
    if not rest.endswith("]"):
        raise errors.invalid(f"Invalid parameter name: {name}", param=name)
    return [head, *rest[:-1].split("][")]


def _put(tree: dict[str, Any], name: str, path: list[str], value: str) -> None:
    *parents, last = path
    for part in parents:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise errors.invalid(f"Invalid object: {name}", param=name)
    if last == "":
        last = str(len(tree))
    if isinstance(tree.get(last), dict):
        raise errors.invalid(f"Invalid string: {name}", param=name)
    tree[last] = value


def _with_lists(name: str, value: Any) -> Any:
    if not isinstance(value, dict) or name in NAMED:
        return value
    inner = {key: _with_lists(key, item) for key, item in value.items()}
    if not all(key.isdecimal() for key in inner):
        return inner
    return [item for _, item in sorted(inner.items(), key=lambda pair: int(pair[0]))]
