"""Payments on one machine: what is sold, and the Stripe twin that takes the money and tells gateway of it.

A person who exports a Stripe key of their own sells by that: then nothing here is set, and packs, plans and the
webhook secret are theirs too.
"""

import json
import os
import urllib.error
import urllib.request

from devstack.credentials import Credentials
from devstack.errors import StackError

TWIN_KEY = "sk_test_demo"
PACKS = [
    {"name": "pack_500", "price_id": "price_pack_500", "credits": 500},
    {"name": "pack_2000", "price_id": "price_pack_2000", "credits": 2_000},
]
PLANS = [
    {"name": "basic", "price_id": "price_basic_monthly", "credits": 1_000},
    {"name": "pro", "price_id": "price_pro_monthly", "credits": 4_000, "rollover_days": 31},
]


def stripe_key() -> str | None:
    """The user's own key, when one is exported."""
    return os.environ.get("BILLING_STRIPE_API_KEY") or None


def billing_settings(twins: str, gateway: str, *, twins_only: bool) -> dict[str, str]:
    """What billing sells with; `twins` and `gateway` are base URLs."""
    page = {"RETURN_URL": f"{gateway}/credits"}
    if not twins_only and stripe_key():
        return page
    return page | {
        "STRIPE_API_KEY": TWIN_KEY,
        "STRIPE_API_URL": f"{twins}/stripe",
        "PACKS": json.dumps(PACKS),
        "PLANS": json.dumps(PLANS),
    }


def gateway_settings(credentials: Credentials, *, twins_only: bool) -> dict[str, str]:
    """What gateway believes Stripe by."""
    if not twins_only and stripe_key():
        return {}
    return {"STRIPE_WEBHOOK_SECRETS": credentials.stripe_webhook_secret}


def announce_webhooks(twins: str, gateway: str, credentials: Credentials) -> None:
    """Tell the Stripe twin where its webhooks go, as Stripe's dashboard does; saying it again changes nothing."""
    endpoint = {"api_key": TWIN_KEY, "url": f"{gateway}/webhooks/stripe", "secret": credentials.stripe_webhook_secret}
    request = urllib.request.Request(  # noqa: S310  our own program
        f"{twins}/control/stripe/endpoints",
        data=json.dumps(endpoint).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    try:
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310  our own program
    except (urllib.error.URLError, OSError) as error:
        raise StackError(
            f"the Stripe twin does not take its webhook endpoint ({error}): see the log of twins"
        ) from error
