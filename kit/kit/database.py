"""PostgreSQL access: one engine per service, and sessions that are told apart by type.

Only an edge (HTTP route, consumer, worker, command) opens :meth:`Database.write`; leaving it flushes the outbox and
commits. A function that needs to write declares :data:`WriteSession`, so it cannot be handed a read session, and it
never commits itself. The text of its errors names tables and constraints, never a value: errors are logged and stored.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NewType

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

from kit.places import Places

ReadSession = NewType("ReadSession", AsyncSession)
WriteSession = NewType("WriteSession", AsyncSession)

Hook = Callable[[], None]
Flush = Callable[[AsyncSession], Awaitable[None]]

COMMAND_TIMEOUT_SECONDS = 30
LOCK_TIMEOUT = "10s"
# In seconds. A client that is gone without a word keeps its locks until PostgreSQL notices, two hours otherwise.
KEEPALIVES = {"tcp_keepalives_idle": "60", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}
POOL_OPTIONS = ("prepared_statement_cache_size", "prepared_statement_name_func")
"""Query parameters of a URL that SQLAlchemy keeps for itself; asyncpg gets all others, such as ``ssl``."""

# https://www.postgresql.org/docs/18/errcodes-appendix.html
TRANSIENT_STATES = frozenset({"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53300", "57014", "25006"})
TRANSIENT_CLASSES = ("08", "53", "58")
VALUE_CLASS = "22"  # its messages quote the value behind a colon


class Database:
    """The database of one service."""

    def __init__(self, url: str, *, name: str, pool_size: int = 10) -> None:
        self.url = make_url(url)
        self._name = name
        self.engine = self._make_engine(
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=COMMAND_TIMEOUT_SECONDS,
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._places = Places(pool_size + pool_size // 2)  # of twice that many connections
        self._before_commit: list[Flush] = []
        self._on_write: list[Callable[[AsyncSession], None]] = []

    def _make_engine(self, *, command_timeout: float | None, **pool: Any) -> AsyncEngine:
        engine = create_async_engine(
            self.url,
            hide_parameters=True,
            connect_args={
                "command_timeout": command_timeout,
                "server_settings": {"application_name": self._name, "lock_timeout": LOCK_TIMEOUT, **KEEPALIVES},
            },
            **pool,
        )
        event.listen(engine.sync_engine, "handle_error", _withhold_values)
        return engine

    def before_commit(self, flush: Flush) -> None:
        """Register an async function that every write transaction runs last, such as the outbox."""
        self._before_commit.append(flush)

    def on_write(self, tell: Callable[[AsyncSession], None]) -> None:
        """Register a function that is called after every committed write transaction."""
        self._on_write.append(tell)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """One transaction: commits when the block ends, rolls back when it raises."""
        async with self._sessions() as session:
            try:
                async with session.begin():
                    yield WriteSession(session)
                    for flush in self._before_commit:
                        await flush(session)
            except BaseException:
                _run(session, "after_rollback")
                raise
            _run(session, "after_commit")
            for tell in self._on_write:
                tell(session)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadSession]:
        """One read-only transaction; PostgreSQL refuses writes in it."""
        async with self._sessions() as session, session.begin():
            await session.connection(execution_options={"postgresql_readonly": True})
            yield ReadSession(session)

    @asynccontextmanager
    async def place(self, of: str = "") -> AsyncIterator[None]:
        """A turn for a session that a request asks for; the accounts that it is ``of`` take turns.

        Without it a flood of requests takes every connection that comes free, and what the service does by itself, or
        has accepted, waits behind them. Who holds a place asks for no second one and waits for no client. Raises
        TimeoutError when there is none in time.
        """
        async with self._places.place(of, patience=COMMAND_TIMEOUT_SECONDS):
            yield

    @asynccontextmanager
    async def patient(self, *, read_only: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection outside the pool whose statements may take as long as they need, such as those of migrations."""
        engine = self._make_engine(command_timeout=None, poolclass=NullPool)
        async with engine.connect() as connection:
            yield await connection.execution_options(postgresql_readonly=read_only)

    async def connect(self, **server_settings: str) -> asyncpg.Connection:
        """A connection outside the pool, for whoever holds an advisory lock. The caller closes it."""
        _, options = self.engine.dialect.create_connect_args(self.url)
        for option in POOL_OPTIONS:
            options.pop(option, None)
        return await asyncpg.connect(
            **options,
            timeout=5,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            server_settings={"application_name": self._name, **KEEPALIVES, **server_settings},
        )

    async def ping(self) -> None:
        """Raise when the database cannot answer."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close all pooled connections."""
        await self.engine.dispose()


def after_commit(session: WriteSession, hook: Hook) -> None:
    """Run ``hook`` once this transaction is durable; it never runs after a rollback."""
    session.info.setdefault("after_commit", []).append(hook)


def after_rollback(session: WriteSession, hook: Hook) -> None:
    """Run ``hook`` if this transaction does not become durable."""
    session.info.setdefault("after_rollback", []).append(hook)


def _run(session: AsyncSession, moment: str) -> None:
    for hook in session.info.pop(moment, ()):
        hook()


def _withhold_values(context: ExceptionContext) -> None:
    """Take the row or value at fault, which may be a prompt or an e-mail, out of what server and driver say."""
    original = context.original_exception
    told = original.__cause__ or original
    if isinstance(told, asyncpg.PostgresError):
        told.detail = None
        if (told.sqlstate or "").startswith(VALUE_CLASS):
            told.args = (told.args[0].partition(":")[0],)
    elif isinstance(told, asyncpg.InterfaceError) and isinstance(told, ValueError):
        told.args = (told.args[0].partition(":")[0],)
    else:
        return
    for error in (original, context.sqlalchemy_exception):
        if error is not None and error is not told:
            error.args = (f"{type(told).__name__}: {told}",)


def is_transient(error: BaseException) -> bool:
    """Whether repeating the same transaction may succeed: lost connection, deadlock, lock timeout, full pool."""
    if isinstance(error, DBAPIError):
        driver_error = error.orig.__cause__ if error.orig else None
        return error.connection_invalidated or (driver_error is not None and is_transient(driver_error))
    if isinstance(error, asyncpg.PostgresError):
        return _transient_state(error.sqlstate)
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError)  # a ValueError is about a value that the driver cannot send
    return isinstance(error, PoolTimeoutError | OSError)


def _transient_state(state: str | None) -> bool:
    return state is not None and (state in TRANSIENT_STATES or state.startswith(TRANSIENT_CLASSES))
