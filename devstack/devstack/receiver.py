"""The customer's side of a delivery, played by the twins: an inbox that checks signatures with a secret we chose."""

import base64
import secrets

import httpx2

from devstack.errors import StackError
from devstack.services import TWINS
from devstack.stack import Stack

INBOX = "demo"


class Receiver:
    def __init__(self, stack: Stack) -> None:
        self.url = f"{stack.addresses.url(TWINS)}/hooks/{INBOX}"
        self.secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"

    def open(self) -> None:
        """Tell the inbox which secret to check with."""
        httpx2.put(f"{self.url}/config", json={"secret": self.secret}).raise_for_status()

    def verdict(self) -> str:
        """What the inbox found of the only message's signature."""
        messages = httpx2.get(f"{self.url}/messages").raise_for_status().json()["messages"]
        if not messages:
            raise StackError(f"the webhook receiver {self.url} got no message")
        return str(messages[0]["verdict"])
