"""The composition root of gateway."""

from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from gateway import docs, passthrough, routes, webhook_routes
from gateway.admission import Admission
from gateway.auth import Authenticator
from gateway.handlers import Handlers
from gateway.headers import HeadersMiddleware
from gateway.invariants import INVARIANTS
from gateway.limits import RateLimiter
from gateway.models import metadata
from gateway.openapi import PublicApi
from gateway.owners import OwnerClient, owners
from gateway.projections import lock_jobs
from gateway.retention import RULES
from gateway.settings import GatewaySettings
from gateway.stream import Streams
from gateway.web import credits as credits_page
from gateway.web import routes as page_routes
from gateway.web import welcome
from gateway.web.bundle import Bundle
from gateway.web.pages import Pages
from gateway.web.problem_pages import ProblemPages
from gateway.web.till import Till
from kit.cli import migrations_folder
from kit.database import Database
from kit.identity import Minter
from kit.service import Service
from kit.signals import Signals
from kit.subscriptions import on
from shared.events import (
    ArtifactProduced,
    AssetRejected,
    AssetStored,
    CreditsClawedBack,
    CreditsExpired,
    CreditsGranted,
    CreditsHeld,
    CreditsRefused,
    CreditsSettled,
    DeliveryFailed,
    DeliverySucceeded,
    HoldOverdue,
    JobCancelled,
    JobFailed,
    JobRefused,
    JobSucceeded,
)
from shared.topics import GATEWAY_ACCOUNTS, GATEWAY_JOBS, GATEWAY_WEBHOOKS

UPLOAD_BYTES = 10 * 1024 * 1024 + 64 * 1024
"""A picture and the multipart form around it; storage checks the picture itself."""


def build(settings: GatewaySettings) -> Service:
    """Every route, subscription, worker and invariant of gateway."""
    db = Database(settings.database_url.get_secret_value(), name="gateway", pool_size=settings.database_pool_size)
    signals = Signals(settings.redis_url.get_secret_value(), namespace=settings.kafka_topic_prefix)
    handlers = Handlers(signals)
    streams = Streams(db, signals, most=settings.max_streams)
    authenticator = Authenticator(
        db,
        RateLimiter(rate=settings.rate_limit, burst=settings.rate_burst),
        RateLimiter(rate=settings.address_rate_limit, burst=settings.address_rate_burst),
        remember=settings.auth_cache,
    )

    others = owners(settings)
    client = OwnerClient(Minter(settings.identity_private_key.get_secret_value()), others)
    admission = Admission(
        db,
        client,
        others[0],
        seal_public_key=settings.seal_public_key,
        confirmation_timeout=settings.confirmation_timeout,
        quote_timeout=settings.quote_timeout,
    )

    bundle = Bundle.load()
    pages = Pages(bundle, media_url=settings.media_url)

    def configure(app: FastAPI) -> None:
        app.state.authenticator = authenticator
        app.add_middleware(ProblemPages, pages=pages)
        app.add_middleware(HeadersMiddleware)
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=settings.trusted_proxies)

    service = Service(
        name="gateway",
        description="Ask for media, pay in credits, watch it being made, get it delivered.",
        settings=settings,
        db=db,
        metadata=metadata,
        migrations=migrations_folder(__file__),
        topics=(GATEWAY_JOBS, GATEWAY_ACCOUNTS, GATEWAY_WEBHOOKS),
        routers=(
            routes.make_router(admission, streams, authenticator, max_keys=settings.max_keys),
            passthrough.make_router(others, client),
            webhook_routes.make_router(settings.stripe_secrets),
            docs.make_router(PublicApi(others, client)),
            page_routes.make_router(db, pages),
            credits_page.make_router(db, pages, Till(client, others[0])),
            welcome.make_router(settings, db, pages, authenticator),
            bundle.make_router(),
        ),
        subscriptions=(
            on(CreditsGranted, handlers.on_wallet_changed),
            on(CreditsExpired, handlers.on_wallet_changed),
            on(CreditsClawedBack, handlers.on_wallet_changed),
            on(CreditsHeld, handlers.on_credits_held),
            on(CreditsSettled, handlers.on_credits_settled),
            on(CreditsRefused, handlers.on_credits_refused),
            on(HoldOverdue, handlers.on_noted),
            on(ArtifactProduced, handlers.on_noted),
            on(AssetStored, handlers.on_noted, where=lambda asset: asset.job_id is not None),
            on(AssetRejected, handlers.on_noted),
            on(JobSucceeded, handlers.on_job_ended),
            on(JobFailed, handlers.on_job_ended),
            on(JobCancelled, handlers.on_job_ended),
            on(JobRefused, handlers.on_job_ended),
            on(DeliverySucceeded, handlers.on_delivery_ended),
            on(DeliveryFailed, handlers.on_delivery_ended),
        ),
        lock=lock_jobs,
        retention=RULES,
        invariants=INVARIANTS,
        background=(signals.run,),
        on_close=(client.close, signals.close),
        body_limits={"/v1/uploads": UPLOAD_BYTES, webhook_routes.STRIPE_PATH: webhook_routes.STRIPE_BYTES},
        checks={"redis": signals.reachable},
        openapi_url=None,
        configure_app=configure,
    )
    streams.stopping = lambda: service.stopping
    return service
