"""Writes `.env` for docker-compose.yml: passwords and key pairs, random, made once: `python deploy/make_env.py`.

An existing file is never overwritten, because the volumes know its passwords. Without OPENAI_API_KEY in the
environment, pictures come from the twins. Needs `cryptography` only, so a host without Python can use an image:
deploy/README.md says how.
"""

import argparse
import base64
import os
import secrets
import sys
from pathlib import Path

try:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
except ModuleNotFoundError:
    sys.exit(
        "this Python has no `cryptography`: `make install`, then .venv/bin/python; or by Docker, see deploy/README.md"
    )

PASSWORDS = ("POSTGRES", "GATEWAY", "BILLING", "GENERATION", "STORAGE", "PUBLISHING", "VALKEY")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(".env"), help="the file to make (.env)")
    parser.add_argument("--print", action="store_true", dest="to_stdout", help="print instead")
    arguments = parser.parse_args()
    text = "".join(f"{name}={value}\n" for name, value in variables(os.environ.get("OPENAI_API_KEY")).items())
    if arguments.to_stdout:
        sys.stdout.write(text)
        return 0
    try:
        descriptor = os.open(arguments.output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{arguments.output} is there already, and the volumes may know its passwords", file=sys.stderr)
        return 1
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    print(f"{arguments.output} is made: keep it, and keep it secret")
    return 0


def variables(openai_key: str | None) -> dict[str, str]:
    identity, seal = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    return {
        **{f"{name}_PASSWORD": secrets.token_urlsafe(24) for name in PASSWORDS},
        "S3_ACCESS_KEY": secrets.token_hex(10),
        "S3_SECRET_KEY": secrets.token_urlsafe(30),
        "IDENTITY_PRIVATE_KEY": in_base64(identity.private_bytes_raw()),
        "IDENTITY_PUBLIC_KEY": in_base64(identity.public_key().public_bytes_raw()),
        "SEAL_PRIVATE_KEY": in_base64(seal.private_bytes_raw()),
        "SEAL_PUBLIC_KEY": in_base64(seal.public_key().public_bytes_raw()),
        "SIGNING_MASTER_SECRET": in_base64(secrets.token_bytes(32)),
        **(openai(openai_key) if openai_key else twins()),
    }


def openai(key: str) -> dict[str, str]:
    return {"OPENAI_API_KEY": key}


def twins() -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "twin",
        "OPENAI_BASE_URL": "http://twins:8000/openai/v1",
        "COMPOSE_PROFILES": "twins",
    }


def in_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


if __name__ == "__main__":
    sys.exit(main())
