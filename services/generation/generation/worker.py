"""Works on steps: begins a call, makes the picture, secures it in S3, and records what came of it.

A picture that a provider made is paid for, so from the moment it is here nothing but the death of this process may lose
it: S3 and the database are waited for in a task of its own, which outlives the lease if it must. It keeps its place as
long as it is here, so no process has more pictures in its memory than it has places, however long S3 is away.

While S3 is away a process buys only when it has nothing at work and no picture in hand, so one at most. That one is put
until S3 takes it, and so tells of its return, also where the bucket may not be asked for.
"""

import asyncio
import hashlib
import random
import time
from typing import Any

import structlog

from generation import gradient, pictures
from generation.calls import Call, Calls, CutOff, Failed, Local, Made, Plan, Result
from generation.catalogue import catalogue
from generation.errors import ProviderError, outcome_unknown
from generation.models import steps
from generation.openai_images import ImageOrder, OpenAIImages
from generation.pictures import MEDIA_TYPE, Picture
from generation.policy import Limits
from generation.progress import Progress
from generation.settings import GenerationSettings
from generation.steps import Item
from kit.backoff import Backoff
from kit.blobs import Blobs, BlobUnavailableError
from kit.coalescer import Coalescer
from kit.database import Database, is_transient
from kit.leases import Lease, LeaseLostError, LeaseWorker, extend, retry_after, write_held
from kit.reachability import ASK_SECONDS

log = structlog.get_logger()


class StepWork:
    """A worker of the service: its ``leases`` hand it steps, and what it makes of them may outlive them."""

    def __init__(
        self, db: Database, provider: OpenAIImages, blobs: Blobs, progress: Progress, settings: GenerationSettings
    ) -> None:
        self._db = db
        self._provider = provider
        self._blobs = blobs
        self._progress = progress
        self._timeout_seconds = settings.provider_timeout.total_seconds()
        self._lease_seconds = settings.step_lease.total_seconds()
        calls = Calls(Limits(settings.attempts, settings.retry_delay, settings.patience, settings.headroom))
        self._begin: Coalescer[Lease, Plan] = Coalescer(db, calls.begin, service="generation", rests=True)
        self._finish: Coalescer[Result, Plan] = Coalescer(db, calls.finish, service="generation", rests=True)
        self._securing: dict[str, asyncio.Task[None]] = {}
        self._outliving: set[asyncio.Task[None]] = set()  # those of them whose lease has ended
        self._concurrency = settings.concurrency
        self.leases = LeaseWorker(
            db,
            steps,
            self._work,
            service="generation",
            concurrency=self._concurrency,
            lease_seconds=self._lease_seconds,
            places=self._places,
        )
        self.name = self.leases.name

    async def run(self) -> None:
        """Work on steps until cancelled."""
        await self._blobs.ask()  # or all places would be filled with purchases before the first picture finds S3 away
        await self.leases.run()

    async def drain(self, seconds: float) -> None:
        """Wait for running calls, and for every picture in hand: one whose lease has ended is paid for as well."""
        ends = time.monotonic() + seconds
        await self.leases.drain(seconds)
        if self._securing:
            await asyncio.wait(self._securing.values(), timeout=max(0.0, ends - time.monotonic()))

    def _places(self) -> int:
        return (self._concurrency if self._blobs.reachable() else 1) - len(self._outliving)

    async def _work(self, lease: Lease) -> None:
        """Do what one leased step needs."""
        if lease.id in self._securing:
            return  # the lease ended while S3 or the database was away, and the picture is still in hand
        match await self._begin.submit(lease):
            case Call() as call:
                await self._secure(lease, await self._call(call))
            case CutOff() as call:
                try:
                    found = await self._look_for(call)
                except BlobUnavailableError as error:
                    await self._put_off(lease, call.item, error)
                else:
                    await self._secure(lease, found)
            case Local(item):
                await self._secure(lease, await self._make_locally(item))

    async def close(self) -> None:
        """Stop waiting for S3 or the database; what is in hand is lost, and known as such by its open attempt."""
        for task in list(self._securing.values()):
            task.cancel()
        await asyncio.gather(*self._securing.values(), return_exceptions=True)

    async def _call(self, call: Call) -> Result:
        item, model = call.item, catalogue()[call.item.model]
        order = ImageOrder(
            model=model.name,
            prompt=item.input.prompt,
            size=model.sizes[item.input.size],
            quality=model.qualities[item.input.quality],
            key=f"{item.step_id}-{call.number}",
        )
        self._progress.submitted(item)
        try:
            answer = await self._provider.make(order, seconds=self._timeout_seconds)
            picture = await asyncio.to_thread(_checked, answer.data, item, answer.request_id)
        except ProviderError as error:
            log.warning("call.failed", step_id=item.step_id, job_id=item.job_id, failure=error.failure)
            return Failed(item, call.number, error)
        return Made(
            item,
            call.number,
            picture,
            _recipe(item, provider=model.provider, model=model.name, quality=order.quality),
            request_id=answer.request_id,
            usage=dict(answer.usage) if answer.usage else None,
            cost_usd=model.cost(item.input.size, item.input.quality, answer.usage),
        )

    async def _look_for(self, call: CutOff) -> Result:
        """A call was cut off. The provider cannot be asked about it, but its picture may have reached S3."""
        item, model = call.item, catalogue()[call.item.model]
        try:
            data = await self._blobs.get(item.object_key)
            picture = await asyncio.to_thread(_checked, data, item, None)
        except (KeyError, ProviderError):
            detail = "The call was cut off; the provider cannot be asked whether it made the picture."
            return Failed(item, call.number, outcome_unknown(detail))
        recipe = _recipe(item, provider=model.provider, model=model.name, quality=model.qualities[item.input.quality])
        cost = model.cost(item.input.size, item.input.quality, None)
        return Made(item, call.number, picture, recipe, cost_usd=cost)

    async def _make_locally(self, item: Item) -> Made:
        size, seed = item.input.dimensions, f"{item.input.prompt}\n{item.number}"
        picture = await asyncio.to_thread(lambda: pictures.of(gradient.gradient(seed, size=size), size=size))
        return Made(item, None, picture, _recipe(item, provider="atelier", model="gradient"))

    async def _secure(self, lease: Lease, result: Result) -> None:
        """Keep and record a result whatever happens to the lease meanwhile."""
        task = asyncio.create_task(self._keep(lease, result))
        self._securing[lease.id] = task
        task.add_done_callback(lambda _: self._securing.pop(lease.id, None))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            self._outliving.add(task)
            task.add_done_callback(self._outliving.discard)
            raise

    async def _keep(self, lease: Lease, result: Result) -> None:
        if isinstance(result, Made):
            await self._put(lease, result)
        plan = await self._record(lease, result)
        if isinstance(result, Made):
            self._progress.produced(result.item)
        if isinstance(plan, Local):
            await self._keep(lease, await self._make_locally(plan.item))

    async def _put(self, lease: Lease, made: Made) -> None:
        """One PUT, repeated while S3 is away."""
        picture = made.picture
        backoff = Backoff()
        while True:
            try:
                metadata = {"sha256": picture.sha256}
                await self._blobs.put(made.item.object_key, picture.data, MEDIA_TYPE, metadata)
            except BlobUnavailableError as error:
                await _wait(backoff, made.item, error)
                await self._extend(lease)
            else:
                return

    async def _record(self, lease: Lease, result: Result) -> Plan:
        """One transaction, repeated while the database is away."""
        backoff = Backoff()
        while True:
            try:
                return await self._finish.submit(result)
            except Exception as error:
                if not is_transient(error):
                    raise
                await _wait(backoff, result.item, error)
                await self._extend(lease)

    async def _extend(self, lease: Lease) -> None:
        """Keep others from the step while its picture is in hand here; it is kept without the step as well."""
        try:
            async with self._db.write() as session:
                await extend(session, steps, lease, self._lease_seconds)
        except Exception as error:
            if not (isinstance(error, LeaseLostError) or is_transient(error)):
                raise

    async def _put_off(self, lease: Lease, item: Item, reason: BlobUnavailableError) -> None:
        """Look again when S3 may be back. Were the error raised, the pauses would grow to minutes."""
        log.warning("look.waiting", step_id=item.step_id, job_id=item.job_id, reason=repr(reason))
        # spread: a process that died leaves many of them
        seconds = ASK_SECONDS * random.uniform(1, 2)  # noqa: S311
        async with self._db.write() as session:
            await write_held(session, steps, lease, retry_after(seconds, attempts=lease.attempts - 1))


async def _wait(backoff: Backoff, item: Item, reason: Exception) -> None:
    log.warning("result.waiting", step_id=item.step_id, job_id=item.job_id, reason=repr(reason))
    await backoff.pause()


def _checked(data: bytes, item: Item, request_id: str | None) -> Picture:
    try:
        return pictures.check(data, size=item.input.dimensions)
    except ProviderError as error:
        error.request_id = request_id
        raise


def _recipe(item: Item, **made_by: str) -> dict[str, Any]:
    """How to make this picture again, without the words of the customer."""
    prompt = hashlib.sha256(item.input.prompt.encode()).hexdigest()
    return {**made_by, "size": item.input.size, "prompt_sha256": prompt}
