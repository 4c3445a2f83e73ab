"""The consumer edge: turns a batch of Kafka records into one transaction, exactly once in effect.

Every record ends in exactly one of done, duplicate, ignored, parked or dead, and is counted. A batch that fails for a
transient reason raises, so that nothing is committed and the batch comes again. A batch that fails otherwise is halved
until the bad record is alone; that one becomes a dead letter, and later records of its key are parked behind it.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from uuid import UUID

import structlog
from opentelemetry.trace import SpanKind
from sqlalchemy import text

from kit import dead_letters, metrics, tracing
from kit.database import Database, WriteSession, is_transient
from kit.subscriptions import Record, Subscription, by_wire_type
from shared.contract import Envelope, Event, UndecodableError

log = structlog.get_logger()

MAX_CHUNK = 500
SLOW_CHUNK_SECONDS = 2.0
SLOW_CHUNK = 32  # below, a transaction is slow because the process or the database is, not because it does much
ATTEMPTS = 3
RETRY_SECONDS = 0.1
MAX_DOUBLINGS = 8  # 25.6 s, under the 30 s after which a silent member looks dead to an operator

# The last letter of a key is locked against removal: a replay, which removes it last, cannot finish the key while this
# transaction parks behind it. The last alone, because behind a busy key there may be tens of thousands.
_CLAIM = text(
    "WITH blocked AS MATERIALIZED ("
    "SELECT k.topic, k.key FROM unnest(CAST(:topics AS text[]), CAST(:keys AS text[])) AS k(topic, key)"
    " CROSS JOIN LATERAL (SELECT FROM dead_letters d WHERE d.topic = k.topic AND d.key = k.key"
    ' ORDER BY d."offset" DESC LIMIT 1 FOR SHARE) AS last'
    "), claimed AS ("
    "INSERT INTO inbox (event_id) SELECT e.id"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:id_topics AS text[]), CAST(:id_keys AS text[])) AS e(id, topic, key)"
    " WHERE NOT EXISTS (SELECT FROM blocked b WHERE b.topic = e.topic AND b.key = e.key)"
    " ON CONFLICT DO NOTHING RETURNING event_id"
    ") SELECT e.id AS event_id, NULL AS topic, NULL AS key FROM unnest(CAST(:ids AS uuid[])) AS e(id)"
    " WHERE NOT EXISTS (SELECT FROM claimed c WHERE c.event_id = e.id)"
    " UNION ALL SELECT NULL, topic, key FROM blocked"
)

Transaction = Callable[[WriteSession], Awaitable[None]]
Lock = Callable[[WriteSession, Sequence[Event]], Awaitable[None]]
"""Locks what the handlers of these events will lock, in id order."""


@dataclass(slots=True)
class Message:
    """A record of a subscribed type. ``event`` is None when it could not be decoded, and ``fault`` says why."""

    record: Record
    type: str
    subscription: Subscription
    event: Event | None
    fault: str = ""
    event_id: UUID | None = None
    key: tuple[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.key = self.record.topic, dead_letters.key_text(self.record)

    @property
    def order(self) -> tuple[str, str]:
        """What must stay in order: the job if there is one, else the key."""
        assert self.event is not None
        return self.record.topic, self.event.correlation_id or self.event.key


class Edge:
    """The consumer edge of one service.

    Whoever brings the records sets ``stopping`` when it ends, so that it does not wait for a batch that only pauses.
    """

    def __init__(
        self, db: Database, *, service: str, subscriptions: Iterable[Subscription], lock: Lock | None = None
    ) -> None:
        self._db = db
        self._service = service
        self._subscriptions = by_wire_type(subscriptions)
        self._lock = lock
        self._chunk = MAX_CHUNK
        self._failures = 0
        self._settled: set[tuple[str, int, int]] = set()
        self.stopping = asyncio.Event()

    async def handle(self, records: Sequence[Record]) -> None:
        """Handle records in order. Raises, after a pause, when that is not possible now: the batch must come again.

        What of it was settled is left out then, so that every repetition gets further.
        """
        ignored: Counter[str] = Counter()
        messages = [
            message
            for record in records
            if _position(record) not in self._settled and (message := self._open(record, ignored))
        ]
        start, slowest = 0, 0.0
        while start < len(messages):
            chunk = messages[start : start + self._chunk]
            try:
                seconds = await self._settle(chunk)
            except Exception as error:
                await self._back_off(error)
                raise
            self._failures = 0
            self._settled.update(_position(message.record) for message in chunk)
            if seconds > SLOW_CHUNK_SECONDS and self._chunk > SLOW_CHUNK:
                self._chunk = max(SLOW_CHUNK, self._chunk // 2)
                log.info("chunk.shrunk", service=self._service, events=self._chunk, seconds=round(seconds, 1))
            start, slowest = start + len(chunk), max(slowest, seconds)
        self._settled.clear()
        # twice as much takes at most twice as long, and a tiny chunk takes as long as it would with more in it
        if slowest < (SLOW_CHUNK_SECONDS if self._chunk < SLOW_CHUNK else SLOW_CHUNK_SECONDS / 2):
            self._chunk = min(MAX_CHUNK, self._chunk * 2)
        for wire_type, count in ignored.items():  # only now, because a batch that fails comes again
            self._count(wire_type, "ignored", count)

    async def replay(self, record: Record, *, finish: Transaction) -> None:
        """Run one dead letter; ``finish`` removes it in the same transaction. Raises what the handler raises."""
        message = self._open(record, Counter())
        if message is None:
            raise UndecodableError("no handler wants this event any more; drop the letter")
        if message.event is None:
            raise UndecodableError(message.fault)
        await self._transaction([message], finish=finish, replaying=True)

    def _open(self, record: Record, ignored: Counter[str]) -> Message | None:
        """Read the type from the header, and decode only what is subscribed and passes the filter."""
        header = next((value for name, value in record.headers if name == "ce_type"), None) or b""
        wire_type = header.decode(errors="replace")
        subscription = self._subscriptions.get(wire_type)
        if subscription is None:
            ignored["other"] += 1
            return None
        try:
            event = subscription.event.decode(record.value or b"", Envelope.from_headers(record.headers))
            event_id = UUID(event.envelope.id)
            wanted = subscription.where is None or subscription.where(event)
        except UndecodableError as error:
            return Message(record, wire_type, subscription, None, fault=str(error))
        except Exception as error:  # nothing that one record holds may stop its partition
            return Message(record, wire_type, subscription, None, fault=dead_letters.error_text(error))
        if not wanted:
            ignored[wire_type] += 1
            return None
        return Message(record, wire_type, subscription, event, event_id=event_id)

    async def _settle(self, messages: Sequence[Message]) -> float:
        """Commit all messages, halving around a bad one. Returns the seconds of the longest transaction."""
        for attempt in range(ATTEMPTS):
            try:
                return await self._transaction(messages)
            except Exception as error:
                if is_transient(error):
                    raise
                failure = error
            if len(messages) > 1:
                middle = len(messages) // 2
                return max(await self._settle(messages[:middle]), await self._settle(messages[middle:]))
            await asyncio.sleep(RETRY_SECONDS * attempt)
        await self._bury(messages[0], failure)
        return 0.0

    async def _transaction(
        self, messages: Sequence[Message], *, finish: Transaction | None = None, replaying: bool = False
    ) -> float:
        """Handle and commit. Returns how many seconds it took, without those that it waited for a connection."""
        outcomes: Counter[tuple[str, str]] = Counter()
        with metrics.BATCH_SECONDS.labels(self._service).time():
            async with AsyncExitStack() as spans, self._db.write() as session:
                await session.connection()
                began = time.monotonic()
                fresh = await self._claim(session, messages, outcomes, replaying=replaying)
                if tracing.exporting():
                    for message in fresh:
                        self._trace(message, spans)
                calls = waves(fresh)
                if self._lock is not None and len(calls) > 1:
                    # each wave locks in id order, but two waves together would not: other writers would deadlock
                    await self._lock(session, [message.event for call in calls for message in call if message.event])
                for wave in calls:
                    await wave[0].subscription.handler(session, [message.event for message in wave])
                if finish is not None:
                    await finish(session)
        seconds = time.monotonic() - began
        for (wire_type, outcome), count in outcomes.items():
            metrics.MESSAGES.labels(self._service, wire_type, outcome).inc(count)
        return seconds

    async def _claim(
        self, session: WriteSession, messages: Sequence[Message], outcomes: Counter[tuple[str, str]], *, replaying: bool
    ) -> list[Message]:
        """Put into the inbox, and return, what is to be handled now.

        The rest is a duplicate, or becomes a letter: what cannot be decoded, and what waits behind a letter.
        """
        wanted = _decodable(messages)
        blocked, known = await _ask(session, set() if replaying else {message.key for message in messages}, wanted)
        fresh, letters = [], []
        for message in messages:
            if message.key in blocked:
                letters.append(dead_letters.letter(message.record, message.type, state="parked"))
                outcomes[message.type, "parked"] += 1
            elif message.event_id is None:
                blocked.add(message.key)
                letters.append(dead_letters.letter(message.record, message.type, state="dead", error=message.fault))
                outcomes[message.type, "dead"] += 1
                self._tell(message, message.fault)
            elif message.event_id in known:
                outcomes[message.type, "duplicate"] += 1
            else:
                known.add(message.event_id)
                fresh.append(message)
                outcomes[message.type, "done"] += 1
        await dead_letters.store(session, letters)
        return fresh

    async def _bury(self, message: Message, failure: Exception) -> None:
        error = dead_letters.error_text(failure)
        async with self._db.write() as session:
            row = dead_letters.letter(message.record, message.type, state="dead", error=error, attempts=ATTEMPTS)
            await dead_letters.store(session, [row])
        self._count(message.type, "dead")
        self._tell(message, error, failure)

    def _trace(self, message: Message, spans: AsyncExitStack) -> None:
        """Give the event a span of its own trace, so that what the handler emits continues that trace."""
        assert message.event is not None
        envelope = message.event.envelope
        span = tracing.start_span(
            f"handle {type(message.event).__name__}", envelope.traceparent, kind=SpanKind.CONSUMER, event_id=envelope.id
        )
        spans.callback(span.end)
        if span.is_recording():
            message.event.with_envelope(replace(envelope, traceparent=tracing.traceparent_of(span)))

    async def _back_off(self, error: Exception) -> None:
        delay = RETRY_SECONDS * 2 ** min(self._failures, MAX_DOUBLINGS)
        self._failures += 1
        if isinstance(error, TimeoutError):
            self._chunk = max(1, self._chunk // 2)  # it may get through in parts
        metrics.BATCHES_REPEATED.labels(self._service).inc()
        log.warning(
            "batch.delayed",
            service=self._service,
            reason=repr(error),
            retry_seconds=delay,
            exc_info=None if is_transient(error) else error,
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self.stopping.wait()

    def _count(self, wire_type: str, outcome: str, number: int = 1) -> None:
        metrics.MESSAGES.labels(self._service, wire_type, outcome).inc(number)

    def _tell(self, message: Message, error: str, failure: Exception | None = None) -> None:
        log.error(
            "message.died",
            service=self._service,
            type=message.type,
            topic=message.record.topic,
            partition=message.record.partition,
            offset=message.record.offset,
            key=message.key[1],
            error=error,
            exc_info=failure,
        )


def _position(record: Record) -> tuple[str, int, int]:
    """Where a record lies in the log."""
    return record.topic, record.partition, record.offset


def _decodable(messages: Iterable[Message]) -> list[Message]:
    """Those that can be decoded, and do not follow one of their key that cannot."""
    stuck = set()
    found = []
    for message in messages:
        if message.event is None:
            stuck.add(message.key)
        elif message.key not in stuck:
            found.append(message)
    return found


async def _ask(
    session: WriteSession, keys: Collection[tuple[str, str]], wanted: Iterable[Message]
) -> tuple[set[tuple[str, str]], set[UUID]]:
    """Which of ``keys`` wait behind a letter, and the ids that did not enter the inbox.

    Those are in it already, or wait behind a letter: mostly none, so there is little to send back and to read.
    """
    topics, names = zip(*keys, strict=True) if keys else ((), ())
    # sorted, so that two members which insert the same ids never deadlock
    claims = sorted((message.event_id, *message.key) for message in wanted if message.event_id)
    ids, id_topics, id_keys = zip(*claims, strict=True) if claims else ((), (), ())
    parameters = {"topics": topics, "keys": names, "ids": ids, "id_topics": id_topics, "id_keys": id_keys}
    rows = (await session.execute(_CLAIM, {name: list(values) for name, values in parameters.items()})).all()
    known = {row.event_id for row in rows if row.event_id is not None}
    return {(row.topic, row.key) for row in rows if row.event_id is None}, known


def waves(messages: Iterable[Message]) -> list[list[Message]]:
    """Split a batch into handler calls: a call has events of one type, and nothing overtakes within a job or key."""
    calls: dict[tuple[int, str], list[Message]] = {}
    last: dict[tuple[str, str], tuple[int, str]] = {}
    for message in messages:
        depth, wire_type = last.get(message.order, (0, message.type))
        if wire_type != message.type:
            depth += 1
        last[message.order] = depth, message.type
        calls.setdefault((depth, message.type), []).append(message)
    return [calls[call] for call in sorted(calls, key=lambda call: call[0])]
