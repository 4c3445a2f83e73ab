"""What fully determines a picture: same spec, same bytes. Free of heavy imports, so the server can hold it."""

import hashlib
from dataclasses import dataclass, fields
from typing import Literal

PictureFormat = Literal["png", "jpeg", "webp"]


@dataclass(frozen=True)
class PictureSpec:
    prompt: str
    width: int
    height: int
    # Whatever tells two pictures of one prompt apart: the caller's seed, its idempotency key, the index in a call.
    variation: str = ""
    format: PictureFormat = "png"
    quality: int = 95
    transparent: bool = False

    @property
    def seed(self) -> int:
        """Depends on what is shown, not on how it is encoded."""
        return int.from_bytes(_digest(self.prompt, f"{self.width}x{self.height}", self.variation)[:8], "big")

    @property
    def key(self) -> str:
        return _digest(*(str(getattr(self, field.name)) for field in fields(self))).hex()


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("|".join(parts).encode()).digest()
