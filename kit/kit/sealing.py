"""Sealed secrets: what a customer hands to one service through events that others can read (HPKE, RFC 9180)."""

import base64

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class UnsealError(ValueError):
    """The text was not sealed for this key and context."""


def seal(public_key: str, secret: str, *, context: str) -> str:
    """Encrypt for the holder of the private key; ``context`` (an id) binds the text to its place. Base64."""
    key = X25519PublicKey.from_public_bytes(base64.b64decode(public_key))
    return base64.b64encode(_SUITE.encrypt(secret.encode(), key, info=context.encode())).decode()


def unseal(private_key: str, sealed: str, *, context: str) -> str:
    """Decrypt. Raises UnsealError."""
    key = X25519PrivateKey.from_private_bytes(base64.b64decode(private_key))
    try:
        return _SUITE.decrypt(base64.b64decode(sealed), key, info=context.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise UnsealError("the secret cannot be unsealed with this key") from error
