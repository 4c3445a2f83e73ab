"""Signatures per Standard Webhooks. Secrets are sealed or derived; one exists in the clear only while it signs."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime

from standardwebhooks import Webhook

from kit.sealing import UnsealError, unseal


class SecretUnusableError(ValueError):
    """The secret that a job brought cannot sign; trying again cannot help."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for all accounts."""

    master_secret: str = field(repr=False)
    seal_private_key: str = field(repr=False)

    def account_secret(self, account_id: str) -> str:
        """The account's own signing secret, ``whsec_...``; always the same."""
        key = hmac.digest(self.master_secret.encode(), f"webhook-signing:{account_id}".encode(), hashlib.sha256)
        return f"whsec_{base64.b64encode(key).decode()}"

    def headers(
        self,
        *,
        delivery_id: str,
        account_id: str,
        job_id: str,
        sealed_secret: str | None,
        body: str,
        now: datetime,
    ) -> dict[str, str]:
        """The three headers that prove who sent this body, and when. Raises SecretUnusableError."""
        try:
            secret = (
                self.account_secret(account_id)
                if sealed_secret is None
                else unseal(self.seal_private_key, sealed_secret, context=job_id)
            )
            signature = Webhook(secret).sign(delivery_id, now, body)
        except (UnsealError, binascii.Error) as error:
            raise SecretUnusableError("the signing secret cannot be read") from error
        return {
            "webhook-id": delivery_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
