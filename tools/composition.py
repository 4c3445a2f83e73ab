"""The five services as their composition roots build them, for tools that read them; nothing is connected."""

import base64
import importlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kit.service import Service
from kit.settings import ServiceSettings

SERVICES = ("gateway", "billing", "generation", "storage", "publishing")


def settings_class(name: str) -> type[ServiceSettings]:
    """The settings class of a service."""
    module = importlib.import_module(f"{name}.settings")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ServiceSettings) and value.__module__ == module.__name__
    )
    return found


def build(name: str) -> Service:
    """A service with stand-in settings."""
    settings = settings_class(name).model_validate(
        {
            field: _stand_in(field)
            for field, description in settings_class(name).model_fields.items()
            if description.is_required()
        }
        | {"environment": "development"}
    )
    service: Service = importlib.import_module(f"{name}.app").build(settings)
    return service


def _stand_in(field: str) -> Any:
    signing, sealing = Ed25519PrivateKey.from_private_bytes(bytes(32)), X25519PrivateKey.from_private_bytes(bytes(32))
    keys = {
        "identity_private_key": signing.private_bytes_raw(),
        "identity_public_key": signing.public_key().public_bytes_raw(),
        "seal_private_key": sealing.private_bytes_raw(),
        "seal_public_key": sealing.public_key().public_bytes_raw(),
    }
    if field in keys:
        return base64.b64encode(keys[field]).decode()
    if field == "http_port":
        return 1
    if field == "database_url":
        return "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"
    if field == "redis_url":
        return "redis://127.0.0.1:1/0"
    if field.endswith("_url"):
        return "http://127.0.0.1:1"
    return "stand-in"
