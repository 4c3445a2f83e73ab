"""Carries committed events from the outbox to Kafka, in id order, at least once.

One relay per service is active: it holds an advisory lock on the connection that also deletes, so whoever loses the
lock loses the power to delete. Rows are never read "after the last id", because transactions commit out of id order:
each poll starts at the id below which nothing waits and no running transaction can commit anything, and once a second
the whole table is scanned. Events of a topic that is missing wait by themselves.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping

import asyncpg
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError
from aiokafka.structs import RecordMetadata

from kit import metrics
from kit.backoff import Backoff
from kit.database import Database, is_transient
from kit.pacing import Arrivals

log = structlog.get_logger()

LOCK_KEY = 0x_A7E1_1E4B  # any number, the same in every process of one database
BATCH = 500
POLL_SECONDS = 0.1
FULL_SCAN_SECONDS = 1.0
STANDBY_SECONDS = 1.0
METADATA_SECONDS = 1.0  # how long a topic that the producer does not know yet holds up the others
ABSENT_SECONDS = 10.0
ACKNOWLEDGE_SECONDS = 5.0  # after which a broker counts as away
SILENCE_SECONDS = 60.0  # after which another producer, perhaps of another process, takes its place
REQUEST_TIMEOUT_MS = 10_000  # how long a broker that stands still holds up its partitions once others lead them

_SELECT = (
    "SELECT id, topic, key, headers, value,"
    " (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint) AS oldest_running"
    " FROM outbox WHERE id >= $1 AND sent_at IS NULL AND topic <> ALL($2::text[]) ORDER BY id LIMIT $3"
)
_DONE = "WITH done AS ({}) SELECT pg_current_xact_id()::text::bigint"
_DELETE = _DONE.format("DELETE FROM outbox WHERE id = ANY($1::bigint[])")
_KEEP = _DONE.format("UPDATE outbox SET sent_at = now() WHERE id = ANY($1::bigint[])")


class _Floor:
    """The id below which no event can appear any more, and none waits but those of absent topics.

    A full scan finds those once their topic is there, and lowers it. An id that is missing below one that was seen
    belongs to a transaction that ran at that moment. The relay's own next transaction is younger than all of those:
    once the database runs none that is older, the gap stays empty.
    """

    def __init__(self) -> None:
        self.id = 0
        self._seen: tuple[int, int] | None = None

    def read(self, *, first: int, oldest_running: int) -> None:
        """Rows from ``first`` on were read, while all transactions before ``oldest_running`` had ended."""
        if self._seen is not None and oldest_running >= self._seen[1]:
            self.id = max(self.id, min(first, self._seen[0]))
            self._seen = None
        self.id = min(self.id, first)

    def done(self, *, last: int, transaction: int) -> None:
        """Rows up to ``last`` were seen before ``transaction`` began."""
        self._seen = self._seen or (last, transaction)


class _Absent:
    """The topics that Kafka does not have. Their events wait and hold up no others."""

    def __init__(self, service: str) -> None:
        self.topics: set[str] = set()
        self._service = service
        self._look_again = 0.0

    def forget_in_time(self) -> None:
        """Look for all topics again, if it is time."""
        if time.monotonic() >= self._look_again:
            self.topics.clear()

    async def look(self, producer: AIOKafkaProducer, names: Mapping[str, str]) -> None:
        """Note which topics, by their name in Kafka, are absent; a topic that the producer knows costs nothing."""
        present = await asyncio.gather(*(_exists(producer, name) for name in names))
        found = {topic for topic, is_there in zip(names.values(), present, strict=True) if not is_there}
        if found - self.topics:
            log.warning("relay.waiting", service=self._service, reason="topics are missing", topics=sorted(found))
            self._look_again = time.monotonic() + ABSENT_SECONDS
        self.topics |= found


async def _exists(producer: AIOKafkaProducer, name: str) -> bool:
    try:
        async with asyncio.timeout(METADATA_SECONDS):
            return bool(await producer.partitions_for(name))
    except (TimeoutError, UnknownTopicOrPartitionError):
        return False


class Relay:
    """The relay of one service. ``keep`` keeps sent rows for ``outbox resend`` instead of deleting them."""

    def __init__(
        self, db: Database, *, service: str, bootstrap: str, topic_prefix: str = "", keep: bool = False
    ) -> None:
        self._db = db
        self._service = service
        self._bootstrap = bootstrap
        self._prefix = topic_prefix
        self._done = _KEEP if keep else _DELETE
        self._wake = asyncio.Event()
        self._arrivals = Arrivals()
        self.active = False

    def wake(self, events: int) -> None:
        """Tell the relay that this process has just committed so many events."""
        self._arrivals.add(events)
        self._wake.set()

    async def run(self) -> None:
        """Relay until cancelled; lost servers are waited for."""
        backoff = Backoff()
        while True:
            try:
                await self._hold_and_relay()
            except Exception as error:
                if not (is_transient(error) or isinstance(error, KafkaError)):
                    log.exception("relay.failed", service=self._service)
                else:
                    pause = backoff.seconds
                    log.warning("relay.waiting", service=self._service, reason=repr(error), retry_seconds=pause)
            finally:
                self._tell_active(False)
            await backoff.pause()

    async def _hold_and_relay(self) -> None:
        connection = await self._db.connect()
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):  # noqa: ASYNC110 - a lock of the server
                await asyncio.sleep(STANDBY_SECONDS)
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                client_id=f"{self._service}-relay",
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                max_batch_size=256 * 1024,
                max_request_size=1024 * 1024,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
            )
            try:
                await producer.start()
                self._tell_active(True)
                await self._relay(connection, producer)
            finally:
                with contextlib.suppress(KafkaError, TimeoutError):
                    await asyncio.wait_for(producer.stop(), 5)
        finally:
            await _close(connection)

    async def _relay(self, connection: asyncpg.Connection, producer: AIOKafkaProducer) -> None:
        floor, absent = _Floor(), _Absent(self._service)
        last_full_scan = 0.0
        while True:
            self._wake.clear()
            self._arrivals.take()
            start = floor.id
            if time.monotonic() - last_full_scan >= FULL_SCAN_SECONDS:
                start, last_full_scan = 0, time.monotonic()
                absent.forget_in_time()  # only here: what waits behind a topic must not overtake it
            rows = await connection.fetch(_SELECT, start, list(absent.topics), BATCH)
            if rows:
                floor.read(first=rows[0]["id"], oldest_running=rows[0]["oldest_running"])
                await absent.look(producer, {self._prefix + row["topic"]: row["topic"] for row in rows})
                ready = [row for row in rows if row["topic"] not in absent.topics]
                transaction = await self._send(connection, producer, ready)
                floor.done(last=rows[-1]["id"], transaction=transaction)
            if len(rows) < BATCH:
                await self._arrivals.rest_after(len(rows))
                with contextlib.suppress(TimeoutError):
                    # not wait_for: until Python 3.12 it loses a cancellation that meets the wake-up
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._wake.wait()

    async def _send(
        self, connection: asyncpg.Connection, producer: AIOKafkaProducer, rows: list[asyncpg.Record]
    ) -> int:
        """Send and put away rows, in order until one is refused; returns the transaction that put them away."""
        futures, failures = [], []
        for row in rows:
            try:
                future = await producer.send(
                    self._prefix + row["topic"],
                    row["value"],
                    key=row["key"].encode(),
                    headers=[(name, value.encode()) for name, value in json.loads(row["headers"]).items()],
                )
            except KafkaError as error:
                failures.append(error)
                break
            futures.append(future)
        outcomes = await self._outcomes(futures)
        sent = [
            row["id"] for row, outcome in zip(rows, outcomes, strict=False) if not isinstance(outcome, BaseException)
        ]
        failures += [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        transaction = int(await connection.fetchval(self._done, sent))
        metrics.EVENTS_SENT.labels(self._service).inc(len(sent))
        if failures:
            raise failures[0]
        return transaction

    async def _outcomes(self, futures: list[asyncio.Future[RecordMetadata]]) -> list[RecordMetadata | BaseException]:
        """What became of each record. The producer repeats without a word, so a broker that is away is told of here.

        Raises KafkaTimeoutError in the end: a producer whose search for a leader has died repeats for ever.
        """
        acknowledged = asyncio.gather(*futures, return_exceptions=True)
        try:
            patient_until = time.monotonic() + SILENCE_SECONDS
            while not (await asyncio.wait([acknowledged], timeout=ACKNOWLEDGE_SECONDS))[0]:
                self._tell_active(False)
                if time.monotonic() > patient_until:
                    raise KafkaTimeoutError(f"Kafka was silent for {SILENCE_SECONDS} s")
                log.warning("relay.waiting", service=self._service, reason="Kafka is silent", events=len(futures))
        finally:
            acknowledged.cancel()
        self._tell_active(True)
        return await acknowledged

    def _tell_active(self, active: bool) -> None:
        self.active = active
        metrics.RELAY_ACTIVE.labels(self._service).set(active)


async def _close(connection: asyncpg.Connection) -> None:
    with contextlib.suppress(Exception):
        await connection.close(timeout=2)
