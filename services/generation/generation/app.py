"""The composition root of generation."""

from datetime import UTC, datetime

import structlog

from generation.catalogue import catalogue
from generation.deadlines import Deadlines
from generation.handlers import Handlers, lock_runs, of_a_job
from generation.invariants import INVARIANTS
from generation.models import metadata
from generation.openai_images import OpenAIImages
from generation.progress import Progress
from generation.retention import RULES
from generation.routes import make_router
from generation.runs import Runs
from generation.settings import GenerationSettings
from generation.worker import StepWork
from kit.blobs import Blobs
from kit.cli import migrations_folder
from kit.database import Database
from kit.identity import Verifier
from kit.service import Service
from kit.signals import Signals
from kit.subscriptions import on
from shared.events import (
    AssetRejected,
    AssetStored,
    CreditsHeld,
    CreditsRefused,
    HoldOverdue,
    JobCancelRequested,
    JobRequested,
)
from shared.topics import GENERATION_JOBS

log = structlog.get_logger()


def build(settings: GenerationSettings) -> Service:
    """Every route, subscription, worker and invariant of generation."""
    db = Database(settings.database_url.get_secret_value(), name="generation", pool_size=settings.database_pool_size)
    blobs = Blobs.from_settings(settings)
    signals = Signals(settings.redis_url.get_secret_value(), namespace=settings.kafka_topic_prefix)
    progress = Progress(signals)
    provider = OpenAIImages(
        api_key=settings.openai_api_key.get_secret_value(),
        base_url=settings.openai_base_url,
        timeout_seconds=settings.provider_timeout.total_seconds(),
        connections=settings.concurrency,
    )
    steps = StepWork(db, provider, blobs, progress, settings)
    handlers = Handlers(Runs(steps.leases, model=settings.openai_image_model), progress)

    async def check_model() -> None:
        model = catalogue()[settings.openai_image_model]
        if model.status(datetime.now(UTC).date()) != "available":
            log.error("model.retiring", model=model.name, date=str(model.shutdown_date), successor=model.successor)

    return Service(
        name="generation",
        description="Runs and steps of jobs, the model catalogue, provider adapters.",
        settings=settings,
        db=db,
        metadata=metadata,
        migrations=migrations_folder(__file__),
        topics=(GENERATION_JOBS,),
        routers=(make_router(model=settings.openai_image_model),),
        subscriptions=(
            on(JobRequested, handlers.on_job_requested),
            on(JobCancelRequested, handlers.on_job_cancel_requested),
            on(CreditsHeld, handlers.on_credits_held),
            on(CreditsRefused, handlers.on_credits_refused),
            on(HoldOverdue, handlers.on_hold_overdue),
            on(AssetStored, handlers.on_asset_stored, where=of_a_job),
            on(AssetRejected, handlers.on_asset_rejected),
        ),
        lock=lock_runs,
        workers=(steps, Deadlines(db).worker),
        retention=RULES,
        invariants=INVARIANTS,
        on_start=(check_model,),
        background=(signals.ask_while_lost, blobs.ask_while_lost),
        on_close=(steps.close, provider.close, blobs.close, signals.close),
        checks={"redis": signals.reachable, "s3": blobs.reachable},
        verifier=Verifier(settings.identity_public_key, audience="generation"),
    )
