"""Gateway's own commands: accounts, API keys and sign-in links. What they make is printed once."""

import argparse
import json
import sys
from typing import Any

from gateway.accounts import get_account, note_sign_in, register
from gateway.errors import EmailInUseError, UnknownAccountError
from gateway.keys import create_key, list_keys, revoke_key
from gateway.schemas import Key
from gateway.sessions import create_ticket
from gateway.settings import GatewaySettings
from kit.cli import id_of
from kit.service import Service
from shared.ids import AccountId, ApiKeyId

MAX_EMAIL_LENGTH = 254
ACCOUNT_ID = id_of(AccountId, "an account (acc_...)")
KEY_ID = id_of(ApiKeyId, "an API key (key_...)")


def extend(commands: Any) -> None:
    """Add gateway's commands."""
    accounts = commands.add_parser("accounts", help="register customers").add_subparsers(
        required=True, metavar="action"
    )
    create = accounts.add_parser("create", help="register an account and make its first API key")
    create.add_argument("--email", required=True, type=_email)
    create.set_defaults(run=_create_account)

    keys = commands.add_parser("keys", help="make, list and revoke API keys").add_subparsers(
        required=True, metavar="action"
    )
    key = keys.add_parser("create", help="make an API key")
    key.add_argument("--account", required=True, type=ACCOUNT_ID, help="id of the account")
    key.add_argument("--name", required=True, help="what the key is known by")
    key.set_defaults(run=_create_key)
    listing = keys.add_parser("list", help="print an account's API keys without their secrets, newest first")
    listing.add_argument("--account", required=True, type=ACCOUNT_ID, help="id of the account")
    listing.set_defaults(run=_list_keys)
    revoke = keys.add_parser("revoke", help="end an API key and the browser sessions that were opened with it")
    revoke.add_argument("key", type=KEY_ID, help="id of the key, such as key_01KBHW3XJ0E4RAB1Q6TZZZ9V5C")
    revoke.add_argument("--descendants", action="store_true", help="also end all keys that were made with it")
    revoke.set_defaults(run=_revoke_key)

    link = commands.add_parser("sign-in-link", help="print a link that signs in to the page once, within a day")
    link.add_argument("--account", required=True, type=ACCOUNT_ID, help="id of the account")
    link.set_defaults(run=_sign_in_link)


async def _create_account(service: Service, arguments: argparse.Namespace) -> int:
    try:
        async with service.db.write() as session:
            account = await register(session, email=arguments.email)
            await note_sign_in(session, account_id=account.id)
            key = await create_key(session, account_id=account.id, name="first key")
    except EmailInUseError:
        print(f"there is an account with the e-mail {arguments.email} already", file=sys.stderr)
        return 1
    print(json.dumps({"account_id": account.id, "email": account.email, "api_key": key.secret}))
    return 0


async def _create_key(service: Service, arguments: argparse.Namespace) -> int:
    try:
        async with service.db.write() as session:
            account = await get_account(session, account_id=arguments.account)
            key = await create_key(session, account_id=account.id, name=arguments.name)
    except UnknownAccountError:
        return _no_such_account(arguments.account)
    print(json.dumps({"id": key.row.id, "api_key": key.secret}))
    return 0


async def _list_keys(service: Service, arguments: argparse.Namespace) -> int:
    try:
        async with service.db.read() as session:
            await get_account(session, account_id=arguments.account)
            keys = await list_keys(session, account_id=arguments.account)
    except UnknownAccountError:
        return _no_such_account(arguments.account)
    for key in keys:
        print(Key.of(key).model_dump_json())
    return 0


async def _revoke_key(service: Service, arguments: argparse.Namespace) -> int:
    async with service.db.write() as session:
        ended = await revoke_key(session, key_id=arguments.key, descendants=arguments.descendants)
    if not ended:
        print(f"there is no API key {arguments.key}; `keys list` shows those of an account", file=sys.stderr)
        return 1
    print("\n".join(ended))
    return 0


async def _sign_in_link(service: Service, arguments: argparse.Namespace) -> int:
    settings = service.settings
    assert isinstance(settings, GatewaySettings)
    try:
        async with service.db.write() as session:
            account = await get_account(session, account_id=arguments.account)
            ticket = await create_ticket(session, account_id=account.id, lifetime=settings.ticket_lifetime)
    except UnknownAccountError:
        return _no_such_account(arguments.account)
    print(f"{settings.public_url}/enter/{ticket}")
    return 0


def _no_such_account(account_id: str) -> int:
    print(f"there is no account {account_id}; `accounts create` makes one", file=sys.stderr)
    return 1


def _email(value: str) -> str:
    name, at, domain = value.strip().rpartition("@")
    if not (name and at and "." in domain and value.isprintable() and len(value) <= MAX_EMAIL_LENGTH):
        raise argparse.ArgumentTypeError(f"{value!r} is not an e-mail address")
    return value.strip()
