"""The log of provider calls: who asked for what, what came of it, and whether it was paid.

`paid` means that the provider did the work and would bill it, whether or not the caller ever saw the answer.
A call is on file before its answer leaves, so a count taken after any crash is the count the provider would bill.
"""

import hashlib
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from twins.changes import OVERVIEW, Changes
from twins.journal import Journal

# Totals are exact for ever; single calls are shown for this many of the latest.
KEPT_CALLS = 20_000
EXCERPT_LENGTH = 200


@dataclass(frozen=True)
class Call:
    id: str
    at: str
    provider: str
    endpoint: str
    model: str
    key: str
    prompt_sha256: str
    prompt: str
    idempotency_key: str | None
    request_id: str
    images: int
    status: int | None = None
    paid: bool = False
    fault: str | None = None
    milliseconds: int = 0
    # SHA-256 of each picture that was made, so that a test can find the bytes it received again.
    pictures: tuple[str, ...] = ()


class CallLog:
    def __init__(self, journal: Journal, changes: Changes) -> None:
        self._journal = journal
        self._changes = changes
        self._calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self._totals: dict[str, Counter[str]] = {}
        self._in_flight: dict[str, tuple[Call, float]] = {}
        for record in journal.replay():
            self._keep(Call(**{**record, "pictures": tuple(record["pictures"])}))

    def begin(
        self,
        *,
        provider: str,
        endpoint: str,
        model: str,
        api_key: str,
        prompt: str,
        idempotency_key: str | None,
        request_id: str,
        images: int,
    ) -> Call:
        call = Call(
            id=f"call_{uuid4().hex}",
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            provider=provider,
            endpoint=endpoint,
            model=model,
            key=fingerprint(api_key),
            prompt_sha256=hashlib.sha256(prompt.encode()).hexdigest(),
            prompt=prompt[:EXCERPT_LENGTH],
            idempotency_key=idempotency_key,
            request_id=request_id,
            images=images,
        )
        self._in_flight[call.id] = (call, time.monotonic())
        return call

    def finish(
        self, call: Call, *, status: int | None, paid: bool, fault: str | None, pictures: tuple[str, ...] = ()
    ) -> Call:
        """Puts the outcome on file. `status` is None when the caller gets no answer at all."""
        _, started = self._in_flight.pop(call.id)
        elapsed = time.monotonic() - started
        finished = replace(
            call, status=status, paid=paid, fault=fault, pictures=pictures, milliseconds=round(elapsed * 1000)
        )
        self._journal.append(asdict(finished))
        self._keep(finished)
        self._changes.announce(OVERVIEW)
        return finished

    def abandon(self, call: Call) -> None:
        """Forgets a call that broke off inside the twin itself: the provider would not have billed it."""
        self._in_flight.pop(call.id, None)

    def earlier(self, call: Call) -> int:
        """How many calls with the same prompt under the same key came before this one."""
        others = [*self._calls, *(other for other, _ in self._in_flight.values() if other.id != call.id)]
        return sum(other.prompt_sha256 == call.prompt_sha256 and other.key == call.key for other in others)

    def report(
        self,
        *,
        prompt_contains: str | None = None,
        api_key: str | None = None,
        idempotency_key: str | None = None,
        limit: int = 100,
    ) -> dict[str, Any]:
        key = fingerprint(api_key) if api_key else None
        matching = [
            call
            for call in reversed(self._calls)
            if (prompt_contains is None or prompt_contains in call.prompt)
            and (key is None or call.key == key)
            and (idempotency_key is None or call.idempotency_key == idempotency_key)
        ]
        paid = [call for call in matching if call.paid]
        return {
            "totals": {endpoint: dict(counts) for endpoint, counts in self._totals.items()},
            "in_flight": len(self._in_flight),
            "matching": {"calls": len(matching), "paid": len(paid), "images": sum(call.images for call in paid)},
            "calls": [asdict(call) for call in matching[:limit]],
        }

    def clear(self) -> None:
        self._journal.clear()
        self._calls.clear()
        self._totals.clear()
        self._changes.announce(OVERVIEW)

    def close(self) -> None:
        self._journal.close()

    def _keep(self, call: Call) -> None:
        self._calls.append(call)
        counts = self._totals.setdefault(f"{call.provider} {call.endpoint}", Counter(calls=0, paid=0, images=0))
        counts["calls"] += 1
        counts["paid"] += call.paid
        counts["images"] += call.images if call.paid else 0
        if call.fault:
            counts[f"fault {call.fault}"] += 1


def fingerprint(api_key: str) -> str:
    """Names a key in logs and pages without showing it."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:12]
