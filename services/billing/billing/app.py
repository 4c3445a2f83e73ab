"""The composition root of billing."""

from billing.expiry import expiry_worker
from billing.handlers import Handlers, lock_wallets
from billing.invariants import INVARIANTS
from billing.models import metadata
from billing.monthly import Statements
from billing.overdue import overdue_worker
from billing.payments.fulfilment import Fulfilment
from billing.payments.inbox import StripeInbox
from billing.payments.invariants import PAYMENT_INVARIANTS
from billing.payments.offer_routes import make_offer_router
from billing.payments.price_check import check_prices
from billing.payments.routes import make_payment_router
from billing.payments.shelf import Shelf
from billing.payments.shop import Shop
from billing.payments.stripe_api import StripeApi
from billing.payments.sweep import sweep_worker
from billing.quote_routes import make_quote_router
from billing.retention import RULES
from billing.routes import make_router
from billing.settings import BillingSettings
from billing.spend_limit_routes import make_spend_limit_router
from kit.cli import migrations_folder
from kit.database import Database
from kit.identity import Verifier
from kit.service import Service
from kit.subscriptions import on
from shared.events import (
    AccountRegistered,
    AccountSignedIn,
    JobCancelled,
    JobFailed,
    JobRefused,
    JobRequested,
    JobSucceeded,
    WebhookReceived,
)
from shared.topics import BILLING_CREDITS


def build(settings: BillingSettings) -> Service:
    """Every route, subscription, worker and invariant of billing."""
    db = Database(settings.database_url.get_secret_value(), name="billing", pool_size=settings.database_pool_size)
    terms = settings.terms
    handlers = Handlers(terms)
    offers = settings.offers
    stripe = StripeApi.from_settings(settings)
    # apart, so that checkouts which hang do not use up the room that paid credits need
    till = StripeApi.from_settings(settings)
    inbox = StripeInbox(db, stripe, Fulfilment(offers, bonus=terms.registration_bonus))
    shop = Shop(db, till, offers, return_url=settings.return_url)
    interval = settings.stripe_sweep_interval
    return Service(
        name="billing",
        description="Wallets, grants, holds and the ledger behind them.",
        settings=settings,
        db=db,
        metadata=metadata,
        migrations=migrations_folder(__file__),
        topics=(BILLING_CREDITS,),
        routers=(
            make_router(terms, offers, Statements(db)),
            make_quote_router(terms),
            make_spend_limit_router(terms),
            make_payment_router(shop, offers),
            make_offer_router(Shelf(till, offers)),
        ),
        subscriptions=(
            on(AccountRegistered, handlers.on_account_registered),
            on(AccountSignedIn, handlers.on_account_signed_in),
            on(JobRequested, handlers.on_job_requested),
            on(JobSucceeded, handlers.on_job_ended),
            on(JobFailed, handlers.on_job_ended),
            on(JobCancelled, handlers.on_job_ended),
            on(JobRefused, handlers.on_job_ended),
            on(WebhookReceived, inbox.on_webhook_received, where=lambda webhook: webhook.sender == "stripe"),
        ),
        lock=lock_wallets,
        workers=(
            overdue_worker(db, grace=settings.hold_grace),
            expiry_worker(db),
            *((inbox.worker, sweep_worker(db, stripe, inbox, interval=interval)) if stripe else ()),
        ),
        retention=RULES,
        on_start=(lambda: check_prices(stripe, offers),) if stripe else (),
        on_close=tuple(api.close for api in (stripe, till) if api),
        invariants=(*INVARIANTS, *PAYMENT_INVARIANTS),
        verifier=Verifier(settings.identity_public_key, audience="billing"),
    )
