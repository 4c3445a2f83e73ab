"""The secrets of one data directory, made once and kept in `secrets.json`, readable by its owner alone.

Passwords and keys are random per directory, so nothing in the source is a secret and nothing a person runs
shares one.
"""

import base64
import hashlib
import json
import os
import secrets
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from devstack.errors import StackError

SERVICES = ("gateway", "billing", "generation", "storage", "publishing")
FILE = "secrets.json"


@dataclass(frozen=True)
class Credentials:
    """What servers and services of one data directory authenticate with. Keys are raw bytes in base64."""

    postgres: dict[str, str]
    valkey: str
    s3_access_key: str
    s3_secret_key: str
    identity_private_key: str
    identity_public_key: str
    seal_private_key: str
    seal_public_key: str
    signing_master_secret: str

    @property
    def stripe_webhook_secret(self) -> str:
        """What the Stripe twin signs webhooks with. Derived, so that older directories have one too."""
        digest = hashlib.sha256(f"stripe webhooks {self.signing_master_secret}".encode()).hexdigest()
        return f"whsec_{digest[:48]}"

    @classmethod
    def load(cls, data_dir: Path) -> Self:
        """Those of the directory, made first where there are none."""
        path = data_dir / FILE
        if not path.exists():
            write_private(path, asdict(cls._make()))
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise StackError(f"{path} is not readable as secrets ({error}): restore it or remove {data_dir}") from error

    @classmethod
    def _make(cls) -> Self:
        identity, seal = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
        return cls(
            postgres={role: secrets.token_urlsafe(24) for role in ("postgres", *SERVICES)},
            valkey=secrets.token_hex(24),
            s3_access_key=secrets.token_hex(10),
            s3_secret_key=secrets.token_urlsafe(30),
            identity_private_key=_base64(identity.private_bytes_raw()),
            identity_public_key=_base64(identity.public_key().public_bytes_raw()),
            seal_private_key=_base64(seal.private_bytes_raw()),
            seal_public_key=_base64(seal.public_key().public_bytes_raw()),
            signing_master_secret=_base64(secrets.token_bytes(32)),
        )


def write_private(path: Path, content: object) -> None:
    """JSON that appears whole, or not at all, and never with wider rights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=1)
    Path(name).replace(path)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
