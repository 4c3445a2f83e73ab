"""A service: its parts, and how they start and stop together.

``app.py`` of each service builds one :class:`Service` and lists every route, subscription, worker and invariant in it.
API, consumer, relay and workers are roles of one process; ``serve --roles`` runs some of them alone.
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Protocol

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncSession

from kit import health, http, invariants, outbox, tracing
from kit.consumer import Consumer
from kit.database import Database
from kit.edge import Edge, Lock
from kit.identity import Verifier
from kit.invariants import Invariant
from kit.relay import Relay
from kit.retention import Retention, Rule, kernel_rules
from kit.settings import ServiceSettings
from kit.subscriptions import Subscription, topics_of
from shared.contract import Topic

log = structlog.get_logger()

ROLES = ("api", "consumer", "relay", "worker")
KEEP_ALIVE_SECONDS = 30
"""Idle connections stay open for longer than clients keep theirs, so that none is closed under a request."""


class Worker(Protocol):
    """Something that works until it is cancelled, and can finish what it has begun."""

    name: str

    async def run(self) -> None: ...
    async def drain(self, seconds: float) -> None: ...


Background = Callable[[], Awaitable[None]]
Closer = Callable[[], Awaitable[None]]


class RoleDiedError(Exception):
    """A role of this process ended by an error that nothing handles."""


@dataclass
class Service:
    """One of the five. ``topics`` are those it writes; those it reads follow from ``subscriptions``.

    ``lock`` locks the parent rows of a batch's events in id order, so that the handlers of a batch, which run one
    after the other in a transaction, cannot deadlock with workers or with other replicas. ``checks`` tell whether what
    the service can do without for a time is there, such as Redis; they are called often and must not wait.
    """

    name: str
    settings: ServiceSettings
    db: Database
    metadata: MetaData
    migrations: Path
    topics: Sequence[Topic]
    routers: Sequence[APIRouter] = ()
    subscriptions: Sequence[Subscription] = ()
    lock: Lock | None = None
    workers: Sequence[Worker] = ()
    retention: Sequence[Rule] = ()
    invariants: Sequence[Invariant] = ()
    background: Sequence[Background] = ()
    on_start: Sequence[Background] = ()
    on_close: Sequence[Closer] = ()
    checks: Mapping[str, Callable[[], bool]] = field(default_factory=dict)
    verifier: Verifier | None = None
    description: str = ""
    body_limits: dict[str, int] = field(default_factory=dict)
    openapi_url: str | None = "/openapi.json"
    configure_app: Callable[[FastAPI], None] | None = None
    roles: frozenset[str] = frozenset(ROLES)
    stopping: bool = False
    _server: "_Server | None" = field(default=None, init=False)
    _dead_role: str = field(default="", init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self.edge = Edge(self.db, service=self.name, subscriptions=self.subscriptions, lock=self.lock)
        self.consumer = Consumer(
            self.edge,
            service=self.name,
            bootstrap=settings.kafka_bootstrap,
            topics=self.consumer_topics,
            topic_prefix=settings.kafka_topic_prefix,
        )
        self.relay = Relay(
            self.db,
            service=self.name,
            bootstrap=settings.kafka_bootstrap,
            topic_prefix=settings.kafka_topic_prefix,
            keep=bool(settings.outbox_keep),
        )
        self.db.before_commit(outbox.flush)
        self.db.on_write(self._wake_relay)
        rules = (*kernel_rules(outbox_keep=settings.outbox_keep), *self.retention)
        self.all_workers = (*self.workers, Retention(self.db, rules))
        self.all_invariants = (*invariants.KERNEL, *self.invariants)

    @property
    def all_topics(self) -> tuple[Topic, ...]:
        """Topics that this service writes or reads."""
        return tuple(dict.fromkeys((*self.topics, *self.consumer_topics)))

    @property
    def consumer_topics(self) -> tuple[Topic, ...]:
        """Topics that this service reads."""
        return topics_of(self.subscriptions)

    @property
    def consumes(self) -> bool:
        """Whether this process is to be a member of the service's consumer group."""
        return "consumer" in self.roles and bool(self.subscriptions)

    def degraded_checks(self) -> dict[str, bool]:
        """Whether the roles of this process do their work, and what they can do without is there; for ``/health``."""
        checks = {name: check() for name, check in self.checks.items()}
        if self.consumes:
            checks["consumer"] = self.consumer.assigned
        if "relay" in self.roles:
            checks["relay"] = self.relay.active
        return checks

    def create_app(self) -> FastAPI:
        """The HTTP application, whose lifespan also runs the other roles of this process."""
        app = FastAPI(
            title=f"Atelier {self.name}",
            description=self.description,
            version="1",
            lifespan=self._lifespan,
            openapi_url=self.openapi_url,
            docs_url=None,
            redoc_url=None,
            telemetry={"tracing": False, "metrics": False, "logs": False},
        )
        app.state.service = self
        app.state.body_limits = self.body_limits
        http.install(app, service=self.name, db=self.db)
        app.include_router(health.router)
        if "api" in self.roles:
            for router in self.routers:
                app.include_router(router)
        if self.configure_app is not None:
            self.configure_app(app)
        return app

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop gracefully.

        Raises :class:`RoleDiedError` when a role ended by an unexpected error: half a service helps nobody, and whoever
        supervises the process starts it again whole.
        """
        config = uvicorn.Config(
            self.create_app(),
            host=self.settings.http_host,
            port=self.settings.http_port,
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(self.settings.drain_timeout.total_seconds()),
            server_header=False,
        )
        self._server = _Server(config, self)
        # What there is by now, mostly code, stays; every full collection would stop the service to look through it.
        gc.freeze()
        await self._server.serve()
        if self._dead_role:
            raise RoleDiedError(f"the role {self._dead_role} died of an error it does not know; see role.died above")

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        async with self.running():
            yield

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the roles of this process while the block runs, then stop them in order."""
        for start in self.on_start:
            await start()
        producing = [self._spawn(worker.run, worker.name) for worker in self.all_workers if "worker" in self.roles]
        if self.consumes:
            producing.append(self._spawn(self.consumer.run, "consumer"))
        if "worker" in self.roles:
            watch = partial(invariants.watch, self.db, self.all_invariants, service=self.name)
            producing.append(self._spawn(watch, "invariants"))
        producing += [self._spawn(task, "background") for task in self.background]
        relay = self._spawn(self.relay.run, "relay") if "relay" in self.roles else None
        log.info("service.started", roles=sorted(self.roles), port=self.settings.http_port)
        try:
            yield
        finally:
            self.stopping = True
            await _cancel(producing)
            drain = self.settings.drain_timeout.total_seconds()
            await asyncio.gather(*(worker.drain(drain) for worker in self.all_workers))
            if relay is not None:
                await self._send_the_rest()
                await _cancel([relay])
            for close in self.on_close:
                await close()
            await self.db.close()
            tracing.shutdown()
            log.info("service.stopped")

    def _wake_relay(self, session: AsyncSession) -> None:
        if written := session.info.pop("outbox_written", 0):
            self.relay.wake(written)

    def _spawn(self, work: Background, name: str) -> asyncio.Task[None]:
        async def run() -> None:
            await work()

        task = asyncio.create_task(run(), name=name)
        task.add_done_callback(self._stop_if_broken)
        return task

    def _stop_if_broken(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or not (error := task.exception()):
            return
        log.critical("role.died", role=task.get_name(), exc_info=error)
        self._dead_role = task.get_name()
        if self._server is not None:
            self._server.should_exit = True

    async def _send_the_rest(self) -> None:
        """Give the relay a moment to send what was just committed; what stays is sent at the next start."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2):
                while True:
                    async with self.db.read() as session:
                        waiting, _ = await outbox.pending(session)
                    if not waiting or not self.relay.active:
                        return
                    await asyncio.sleep(0.02)


class _Server(uvicorn.Server):
    """Tells the service of a stop signal at once, so that open streams end before uvicorn waits for them."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.stopping = True
        super().handle_exit(sig, frame)


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
