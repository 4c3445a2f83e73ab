"""The composition root of storage."""

import structlog

from kit.backoff import Backoff
from kit.blobs import Blobs, BlobUnavailableError
from kit.cli import migrations_folder
from kit.database import Database
from kit.identity import Verifier
from kit.places import Places
from kit.service import Service
from kit.subscriptions import on
from shared.events import ArtifactProduced
from shared.topics import STORAGE_ASSETS
from storage.derivatives import Thumbnails
from storage.handlers import Handlers
from storage.invariants import INVARIANTS
from storage.library import Links
from storage.models import metadata
from storage.processes import Processes
from storage.registration import Registrar
from storage.routes import make_router
from storage.settings import StorageSettings
from storage.uploads import CLEANING_CPU_SECONDS, MAX_BYTES, Uploads

log = structlog.get_logger()

FORM_BYTES = 64 * 1024
"""What a multipart form may add to the picture."""


def build(settings: StorageSettings) -> Service:
    """Every route, subscription, worker and invariant of storage."""
    db = Database(settings.database_url.get_secret_value(), name="storage", pool_size=settings.database_pool_size)
    blobs = Blobs.from_settings(settings, public_url=settings.s3_public_url)
    # apart, so that neither can starve the other
    memory = settings.picture_memory * 1024**2
    shrinking = Processes(settings.thumbnail_processes, memory=memory)
    cleaning = Processes(settings.upload_processes, memory=memory, cpu_seconds=CLEANING_CPU_SECONDS)
    thumbnails = Thumbnails(db, blobs, shrinking, concurrency=settings.thumbnail_concurrency)
    registrar = Registrar(db, blobs, thumbnails)
    handlers = Handlers(registrar)

    links = Links(blobs, settings.signed_url_lifetime)
    uploads = Uploads(
        blobs,
        cleaning,
        Places(settings.upload_processes, shared=True),
        thumbnails,
        max_pixels=settings.upload_max_pixels,
        max_held=settings.uploads_memory * 1024**2,
        per_account=settings.uploads_per_account,
    )
    return Service(
        name="storage",
        description="Pictures: what was made or uploaded, where it comes from, and signed links to it.",
        settings=settings,
        db=db,
        metadata=metadata,
        migrations=migrations_folder(__file__),
        topics=(STORAGE_ASSETS,),
        routers=(make_router(db, links, uploads),),
        subscriptions=(on(ArtifactProduced, handlers.on_artifact_produced),),
        workers=(registrar.worker, thumbnails.worker),
        invariants=INVARIANTS,
        background=(lambda: ensure_bucket(blobs), blobs.ask_while_lost),
        on_close=(shrinking.close, cleaning.close, blobs.close),
        checks={"s3": blobs.reachable},
        verifier=Verifier(settings.identity_public_key, audience="storage"),
        body_limits={"/v1/uploads": MAX_BYTES + FORM_BYTES},
    )


async def ensure_bucket(blobs: Blobs) -> None:
    """Make the bucket, however long S3 takes to come up; nothing else waits for it."""
    backoff, told = Backoff(), False
    while True:
        try:
            await blobs.ensure_bucket()
        except BlobUnavailableError as error:
            if not told:
                log.warning("bucket.waiting", bucket=blobs.bucket, reason=str(error))
                told = True
            await backoff.pause()
        else:
            return
