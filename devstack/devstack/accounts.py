"""The demo account, made and signed in with gateway's own commands.

The API key is shown once, so it is kept beside the other secrets of the data directory.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from devstack.credentials import write_private
from devstack.errors import StackError
from devstack.forking import zygote
from devstack.stack import Stack

EMAIL = "demo@example.com"


@dataclass(frozen=True)
class Account:
    account_id: str
    api_key: str


def ensure_account(stack: Stack) -> Account:
    """The account of this data directory, registered the first time."""
    path = stack.data.path / "account.json"
    if path.exists():
        return Account(**json.loads(path.read_text()))
    made = json.loads(_gateway(stack, "accounts", "create", "--email", EMAIL))
    account = Account(account_id=made["account_id"], api_key=made["api_key"])
    write_private(path, {"account_id": account.account_id, "api_key": account.api_key})
    return account


def sign_in_link(stack: Stack, account: Account) -> str:
    """A URL that opens the page as this account."""
    return _gateway(stack, "sign-in-link", "--account", account.account_id)


def _gateway(stack: Stack, *arguments: str) -> str:
    """What a command of gateway printed last, run with the running gateway's environment."""
    gateway = stack.service("gateway")
    with tempfile.TemporaryDirectory() as scratch:
        output, errors = Path(scratch, "output"), Path(scratch, "errors")
        command = zygote.start(
            ["gateway", *arguments], env=gateway.environment(), cwd=gateway.directory, output=output, errors=errors
        )
        code = command.wait()
        printed, complaint = output.read_text().strip(), errors.read_text().strip()
    if code != 0 or not printed:
        reason = ((complaint or printed).splitlines() or ["it printed nothing"])[-1]
        raise StackError(f"gateway {' '.join(arguments[:2])} failed ({reason}): see {gateway.child.log}")
    return printed
