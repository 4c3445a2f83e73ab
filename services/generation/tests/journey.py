"""Events of one job as the other services tell them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from kit.service import Service
from kit.testing import emitted, eventually, records
from shared.contract import Event
from shared.events import (
    ArtifactProduced,
    AssetRejected,
    AssetStored,
    CreditsHeld,
    CreditsRefused,
    HoldOverdue,
    JobCancelRequested,
    JobRequested,
)
from shared.events.generation import Terminal
from shared.ids import new_id

PRICE = 4000


@dataclass
class Journey:
    """One job. Each method makes an event of it."""

    prompt: str = "a lamp"
    n: int = 1
    fallback: str = "none"
    size: str = "1024x1024"
    seconds: float = 600
    kind: str = "image"
    job_id: str = field(default_factory=lambda: new_id("job"))
    account_id: str = field(default_factory=lambda: new_id("acc"))

    def requested(self) -> JobRequested:
        now = datetime.now(UTC)
        return JobRequested(
            job_id=self.job_id,
            account_id=self.account_id,
            kind=self.kind,
            input={"prompt": self.prompt, "n": self.n, "fallback": self.fallback, "size": self.size},
            items=self.n,
            price=PRICE * self.n,
            item_prices=(PRICE,) * self.n,
            price_version="2026-11-21",
            requested_at=now,
            deadline=now + timedelta(seconds=self.seconds),
        )

    def held(self) -> CreditsHeld:
        amount = PRICE * self.n
        return CreditsHeld(**self._ids(), amount=amount, available=0, held=amount, wallet_version=2)

    def refused(self) -> CreditsRefused:
        numbers = {"needed": PRICE * self.n, "available": 7}
        return CreditsRefused(**self._ids(), code="insufficient_credits", detail="Not enough credits.", **numbers)

    def cancelled(self) -> JobCancelRequested:
        return JobCancelRequested(**self._ids(), requested_at=datetime.now(UTC))

    def overdue(self) -> HoldOverdue:
        return HoldOverdue(**self._ids(), amount=PRICE * self.n, deadline=datetime.now(UTC))

    def stored(self, artifact: ArtifactProduced | int) -> AssetStored:
        asset_id = new_id("ast") if isinstance(artifact, int) else artifact.asset_id
        item = artifact if isinstance(artifact, int) else artifact.item
        fallback = False if isinstance(artifact, int) else artifact.fallback
        return AssetStored(
            **self._ids(),
            asset_id=asset_id,
            source="fallback" if fallback else "generated",
            item=item,
            size=10,
            sha256="0" * 64,
            media_type="image/png",
            width=1024,
            height=1024,
        )

    def rejected(self, artifact: ArtifactProduced | int) -> AssetRejected:
        asset_id = new_id("ast") if isinstance(artifact, int) else artifact.asset_id
        item = artifact if isinstance(artifact, int) else artifact.item
        return AssetRejected(**self._ids(), asset_id=asset_id, item=item, code="missing", detail="No object.")

    def _ids(self) -> dict[str, Any]:
        return {"job_id": self.job_id, "account_id": self.account_id}


async def tell(service: Service, *events: Event) -> None:
    """Hand events to the service's edge, as one batch from Kafka."""
    await service.edge.handle(records(*events))


async def artifacts(service: Service, count: int = 1) -> list[ArtifactProduced]:
    """The artifacts in the outbox, once there are that many."""

    async def enough() -> list[ArtifactProduced] | None:
        found = [event for event in await emitted(service.db) if isinstance(event, ArtifactProduced)]
        return found if len(found) >= count else None

    found = await eventually(enough, timeout=30)
    assert found is not None
    return found


async def terminals(service: Service, job_id: str | None = None) -> list[Terminal]:
    """The terminal events in the outbox."""
    found = [event for event in await emitted(service.db) if isinstance(event, Terminal)]
    return [event for event in found if job_id in {None, event.job_id}]


async def ending(service: Service, job_id: str | None = None) -> Terminal:
    """The one terminal event of a job, once it is there."""
    found = await eventually(lambda: terminals(service, job_id), timeout=30)
    assert len(found) == 1
    return found[0]
