"""The composition root of billing."""

from billing.expiry import expiry_worker
from billing.handlers import Handlers, lock_wallets
from billing.invariants import INVARIANTS
from billing.models import metadata
from billing.overdue import overdue_worker
from billing.quote_routes import make_quote_router
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
)
from shared.topics import BILLING_CREDITS


def build(settings: BillingSettings) -> Service:
    """Every route, subscription, worker and invariant of billing."""
    db = Database(settings.database_url.get_secret_value(), name="billing", pool_size=settings.database_pool_size)
    terms = settings.terms
    handlers = Handlers(terms)
    return Service(
        name="billing",
        description="Wallets, grants, holds and the ledger behind them.",
        settings=settings,
        db=db,
        metadata=metadata,
        migrations=migrations_folder(__file__),
        topics=(BILLING_CREDITS,),
        routers=(make_router(terms), make_quote_router(terms), make_spend_limit_router(terms)),
        subscriptions=(
            on(AccountRegistered, handlers.on_account_registered),
            on(AccountSignedIn, handlers.on_account_signed_in),
            on(JobRequested, handlers.on_job_requested),
            on(JobSucceeded, handlers.on_job_ended),
            on(JobFailed, handlers.on_job_ended),
            on(JobCancelled, handlers.on_job_ended),
            on(JobRefused, handlers.on_job_ended),
        ),
        lock=lock_wallets,
        workers=(overdue_worker(db, grace=settings.hold_grace), expiry_worker(db)),
        invariants=INVARIANTS,
        verifier=Verifier(settings.identity_public_key, audience="billing"),
    )
