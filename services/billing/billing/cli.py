"""Billing's own commands: ``python -m billing grant --account ID --credits 100 --reason text``."""

import argparse
import sys
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import TypeAdapter, ValidationError

from billing.errors import GrantConflictError, UnknownAccountError
from billing.grants import adjust
from kit.service import Service
from shared.ids import AccountId, new_id
from shared.prices import MILLICREDITS

MAX_CREDITS = 1_000_000_000


def extend(commands: Any) -> None:
    """Add billing's commands."""
    grant = commands.add_parser("grant", help="give credits to an account")
    grant.add_argument("--account", required=True, type=_account_id, help="id of the account")
    grant.add_argument("--credits", required=True, type=_millicredits, dest="amount", help="such as 100 or 0.5")
    grant.add_argument("--reason", required=True, help="why; kept with the grant")
    grant.add_argument("--key", help="repeating a command with the same key grants once")
    grant.set_defaults(run=_grant)


async def _grant(service: Service, arguments: argparse.Namespace) -> int:
    key = f"operator:{arguments.key or new_id('op')}"
    try:
        async with service.db.write() as session:
            granted = await adjust(
                session, account_id=arguments.account, amount=arguments.amount, reason=arguments.reason, key=key
            )
    except UnknownAccountError:
        print(
            f"billing knows no account {arguments.account}; check the id, or wait for it to register", file=sys.stderr
        )
        return 1
    except GrantConflictError:
        print(f"the key {arguments.key} was used for another grant; use a new one", file=sys.stderr)
        return 1
    given = Decimal(arguments.amount) / MILLICREDITS
    print(f"{given.normalize():f} credits granted" if granted else f"granted before under the key {arguments.key}")
    return 0


def _account_id(value: str) -> str:
    try:
        return TypeAdapter[str](AccountId).validate_python(value)
    except ValidationError:
        raise argparse.ArgumentTypeError(f"{value!r} is not the id of an account (acc_...)") from None


def _millicredits(value: str) -> int:
    try:
        amount = Decimal(value) * MILLICREDITS
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of credits") from None
    if not amount.is_finite() or not 0 < amount <= MAX_CREDITS * MILLICREDITS or amount != int(amount):
        raise argparse.ArgumentTypeError("credits must be more than 0, with at most three decimals")
    return int(amount)
