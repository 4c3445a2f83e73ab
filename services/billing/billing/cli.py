"""Billing's own commands: ``python -m billing grant|adjust|statement|reconcile``; see ``--help`` of each."""

import argparse
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from billing.clawbacks import adjust
from billing.errors import GrantConflictError, UnknownAccountError
from billing.grants import grant_by_hand
from billing.monthly import Month, Statements
from billing.payments.errors import StripeRefusedError, StripeUnavailableError
from billing.payments.reconcile import reconcile_with_stripe
from billing.payments.stripe_api import StripeApi
from billing.reconcile import reconcile
from billing.settings import BillingSettings
from kit.cli import id_of
from kit.database import WriteSession
from kit.problems import Problem
from kit.service import Service
from shared.ids import AccountId, new_id
from shared.prices import MILLICREDITS

MAX_CREDITS = 1_000_000_000
ACCOUNT_ID = id_of(AccountId, "an account (acc_...)")
BY_HAND = ("adjustment", "bonus", "refund")


def extend(commands: Any) -> None:
    """Add billing's commands."""
    grant = commands.add_parser("grant", help="give credits to an account")
    grant.add_argument("--account", required=True, type=ACCOUNT_ID, help="id of the account")
    grant.add_argument("--credits", required=True, type=_to_give, dest="amount", help="such as 100 or 0.5")
    grant.add_argument("--reason", required=True, help="why; kept with the grant")
    grant.add_argument("--source", choices=BY_HAND, default="adjustment", help="what the credits count as")
    grant.add_argument("--expires", type=_moment, help="ISO 8601 with an offset; default: never")
    grant.add_argument("--key", help="repeating a command with the same key grants once")
    grant.set_defaults(run=_grant)

    correct = commands.add_parser("adjust", help="correct a balance, up or down")
    correct.add_argument("--account", required=True, type=ACCOUNT_ID, help="id of the account")
    correct.add_argument(
        "--credits", required=True, type=_to_adjust, dest="amount", help="such as 100 or --credits=-2.5"
    )
    correct.add_argument("--reason", required=True, help="why; told with the event")
    correct.add_argument("--key", help="repeating a command with the same key adjusts once")
    correct.set_defaults(run=_adjust)

    statement = commands.add_parser("statement", help="print an account's month")
    statement.add_argument("--account", required=True, type=ACCOUNT_ID, help="id of the account")
    statement.add_argument("--month", required=True, type=_month, help="such as 2026-11")
    statement.add_argument("--format", choices=("json", "csv"), default="json")
    statement.set_defaults(run=_statement)

    check = commands.add_parser(
        "reconcile", help="compare wallets, grants and holds with the ledger, and the ledger with Stripe"
    )
    check.set_defaults(run=_reconcile)


async def _grant(service: Service, arguments: argparse.Namespace) -> int:
    async def give(session: WriteSession, key: str) -> bool:
        return await grant_by_hand(
            session,
            account_id=arguments.account,
            key=key,
            amount=arguments.amount,
            reason=arguments.reason,
            source=arguments.source,
            expires_at=arguments.expires,
        )

    return await _book(service, arguments, give, by="operator", done="granted")


async def _adjust(service: Service, arguments: argparse.Namespace) -> int:
    async def correct(session: WriteSession, key: str) -> bool:
        return await adjust(
            session, account_id=arguments.account, key=key, amount=arguments.amount, reason=arguments.reason
        )

    return await _book(service, arguments, correct, by="correction", done="adjusted")


async def _book(
    service: Service,
    arguments: argparse.Namespace,
    book: Callable[[WriteSession, str], Awaitable[bool]],
    *,
    by: str,
    done: str,
) -> int:
    key = f"{by}:{arguments.key or new_id('op')}"  # one name may be used for a grant and for an adjustment
    try:
        async with service.db.write() as session:
            fresh = await book(session, key)
    except UnknownAccountError:
        print(
            f"billing knows no account {arguments.account}; check the id, or wait for it to register", file=sys.stderr
        )
        return 1
    except GrantConflictError:
        print(f"the key {arguments.key} was used for something else; use a new one", file=sys.stderr)
        return 1
    credits_moved = f"{(Decimal(arguments.amount) / MILLICREDITS).normalize():f} credits"
    print(f"{credits_moved} {done}" if fresh else f"{done} before under the key {arguments.key}")
    return 0


async def _statement(service: Service, arguments: argparse.Namespace) -> int:
    statements = Statements(service.db)
    if arguments.format == "csv":
        async for part in await statements.as_csv(account_id=arguments.account, month=arguments.month):
            print(part, end="")
        return 0
    try:
        statement = await statements.whole(account_id=arguments.account, month=arguments.month)
    except Problem as problem:
        print(problem.detail, file=sys.stderr)
        return 1
    print(statement.model_dump_json(indent=2))
    return 0


async def _reconcile(service: Service, _: argparse.Namespace) -> int:
    async with service.db.patient(read_only=True) as connection:
        drifts = await reconcile(connection)
    for drift in drifts:
        print(drift)
    if not drifts:
        print("wallets, grants and holds are what the ledger says")
    return max(1 if drifts else 0, await _reconcile_with_stripe(service))


async def _reconcile_with_stripe(service: Service) -> int:
    assert isinstance(service.settings, BillingSettings)
    stripe = StripeApi.from_settings(service.settings)
    if stripe is None:
        print("no Stripe key is set, so nothing was compared with Stripe")
        return 0
    try:
        drifts = await reconcile_with_stripe(service.db, stripe, service.settings.offers)
    except (StripeUnavailableError, StripeRefusedError) as error:
        print(f"nothing was compared with Stripe, which did not answer: {error}", file=sys.stderr)
        return 1
    finally:
        await stripe.close()
    for drift in drifts:
        print(drift)
    if not drifts:
        print("payments, refunds and disputes are what Stripe says")
    return 1 if drifts else 0


def _to_give(value: str) -> int:
    amount = _to_adjust(value)
    if amount < 0:
        raise argparse.ArgumentTypeError("credits to grant must be more than 0; `adjust` takes them away")
    return amount


def _to_adjust(value: str) -> int:
    try:
        amount = Decimal(value) * MILLICREDITS
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of credits") from None
    if not amount.is_finite() or not 0 < abs(amount) <= MAX_CREDITS * MILLICREDITS or amount != int(amount):
        raise argparse.ArgumentTypeError("credits must not be 0, with at most three decimals")
    return int(amount)


def _moment(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is not a moment in ISO 8601") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError("the moment needs an offset, for example 2027-01-01T00:00:00+00:00")
    return moment


def _month(value: str) -> Month:
    try:
        return Month.parse(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is not a month such as 2026-11") from None
