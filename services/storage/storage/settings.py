"""Settings of storage: environment variables that begin with ``STORAGE_``."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kit.settings import S3Settings


class StorageSettings(S3Settings):
    """What storage needs to know beyond what every service does."""

    model_config = SettingsConfigDict(env_prefix="STORAGE_", frozen=True, extra="ignore")

    identity_public_key: str = Field(description="Base64 of gateway's raw Ed25519 public key.")
    s3_public_url: str | None = Field(
        default=None, description="Address of the S3 server for browsers; unset: the same as S3_URL."
    )
    signed_url_lifetime: timedelta = Field(
        default=timedelta(minutes=15), ge=timedelta(minutes=1), le=timedelta(days=7), description="Validity of a URL."
    )
    upload_processes: int = Field(default=2, ge=1, le=32, description="Processes that decode and encode uploads.")
    uploads_per_account: int = Field(
        default=4, ge=1, description="Uploads of one account that one process takes in at a time."
    )
    uploads_memory: int = Field(
        default=128,
        ge=16,
        description="MiB of uploads that one process holds at a time; what would be more is answered 503.",
    )
    thumbnail_processes: int = Field(default=2, ge=1, le=32, description="Processes that make thumbnails.")
    thumbnail_concurrency: int = Field(
        default=4, ge=0, description="Thumbnails that one process makes at a time; 0: it leaves them to others."
    )
    picture_memory: int = Field(
        default=1024,
        ge=256,
        description="MiB that each of these processes may use; the largest upload takes some 900.",
    )
    upload_max_pixels: int = Field(
        default=50_000_000,
        ge=1,
        description="Width x height of the largest upload; half of it for a WebP, which takes twice the memory.",
    )
