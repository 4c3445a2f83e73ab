"""The composition root of publishing."""

from kit.cli import migrations_folder
from kit.database import Database
from kit.identity import Verifier
from kit.safe_http import SafeClient
from kit.service import Service
from kit.subscriptions import on
from publishing.delivering import Courier
from publishing.handlers import Handlers, lock_deliveries
from publishing.invariants import INVARIANTS
from publishing.models import metadata
from publishing.retention import rules
from publishing.routes import make_router
from publishing.schedule import Schedule
from publishing.settings import PublishingSettings
from publishing.signing import Signer
from shared.events import JobCancelled, JobFailed, JobRefused, JobRequested, JobSucceeded
from shared.events.generation import Terminal
from shared.topics import PUBLISHING_POSTS


def build(settings: PublishingSettings) -> Service:
    """Every route, subscription, worker and invariant of publishing."""
    db = Database(settings.database_url.get_secret_value(), name="publishing", pool_size=settings.database_pool_size)
    signer = Signer(settings.signing_master_secret.get_secret_value(), settings.seal_private_key.get_secret_value())
    request_seconds = settings.request_timeout.total_seconds()
    client = SafeClient(
        allow_loopback=settings.allow_loopback,
        timeout_seconds=request_seconds,
        connections=settings.delivery_concurrency,
    )
    courier = Courier(
        db,
        client,
        signer,
        Schedule(settings.retry_schedule, settings.retry_jitter, settings.retry_after_limit),
        request_seconds=request_seconds,
        concurrency=settings.delivery_concurrency,
    )
    handlers = Handlers(courier.worker)
    return Service(
        name="publishing",
        description="Signed webhooks that bring the outcomes of jobs to their owners.",
        settings=settings,
        db=db,
        metadata=metadata,
        migrations=migrations_folder(__file__),
        topics=(PUBLISHING_POSTS,),
        routers=(make_router(signer, courier.worker),),
        subscriptions=(
            on(JobRequested, handlers.on_job_requested, where=lambda job: job.deliver is not None),
            on(JobSucceeded, handlers.on_job_ended, where=_wants_delivery),
            on(JobFailed, handlers.on_job_ended, where=_wants_delivery),
            on(JobCancelled, handlers.on_job_ended, where=_wants_delivery),
            on(JobRefused, handlers.on_job_ended, where=_wants_delivery),
        ),
        lock=lock_deliveries,
        workers=(courier.worker,),
        retention=rules(keep=settings.retention),
        invariants=INVARIANTS,
        on_close=(client.close,),
        verifier=Verifier(settings.identity_public_key, audience="publishing"),
    )


def _wants_delivery(end: Terminal) -> bool:
    return end.deliver
