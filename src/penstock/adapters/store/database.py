"""A database by URL: how it is opened, how a transaction runs, and what its failures mean.

Units run one after another on a single connection. There is one server per database (`claim`), so this makes every
unit see the whole of those before it, on both databases alike, without lock conflicts to retry. What is hot (tokens,
routes, the request ledger) is in memory or written in batches, so the connection is idle most of the time.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from penstock.adapters.store.uninterrupted import Uninterrupted, within
from penstock.domain.errors import AlreadyExists, InvalidParameter, PenstockError, Temporary

WAIT_S = 10
RETRY_AFTER_S = 2
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
_DUPLICATE_SQLITE = {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}
_DUPLICATE_POSTGRESQL = "23505"
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
# A statement that the schema does not know is a fault of ours, not of the database's being away.
_OUR_FAULT = ("no such table", "no such column", "syntax error")


def parse_url(text: str) -> URL:
    """The URL as SQLAlchemy takes it, with our driver; raises InvalidParameter if it is not of a known database."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise InvalidParameter("database must be a URL such as sqlite:////var/lib/penstock.db") from error
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise InvalidParameter(
            f"database must begin with sqlite:// or postgresql://, but begins with '{url.drivername}://'."
        )
    if driver.startswith("sqlite") and not url.database:
        raise InvalidParameter("database must name a file, such as sqlite:////var/lib/penstock.db")
    url = url.set(drivername=driver)
    sslmode = url.query.get("sslmode")
    if sslmode is not None:
        # libpq's word, which every other PostgreSQL client takes; asyncpg calls it ssl
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": sslmode})
    return url


def open_engine(url: URL) -> AsyncEngine:
    """An engine with one connection, not yet made."""
    options: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": WAIT_S, "hide_parameters": True}
    try:
        if url.get_backend_name() == "sqlite":
            engine = create_async_engine(url, connect_args={"timeout": WAIT_S}, **options)
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(engine.sync_engine, "begin", _begin_immediate)
            return engine
        return create_async_engine(
            url, pool_pre_ping=True, connect_args={"timeout": WAIT_S, "command_timeout": WAIT_S}, **options
        )
    except (ArgumentError, NoSuchModuleError) as error:
        raise InvalidParameter(f"database cannot be used: {error}") from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction handling would begin late and commit before DDL.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # FULL: what was acknowledged (a registered version, a created token) survives loss of power; writes are few.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA busy_timeout = {WAIT_S * 1000}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # Takes the write lock first, so that a unit never fails for having read before it wrote.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@asynccontextmanager
async def transaction(
    engine: AsyncEngine, check: Callable[[AsyncConnection], Awaitable[None]] | None = None
) -> AsyncIterator[AsyncConnection]:
    """One transaction: commits at the end, rolls back when the block raises; raises Temporary if it cannot be had.

    `check` is asked before it begins, and raises if it must not.
    """
    with failures():
        connection = await connect(engine)
        try:
            if check is not None:
                await check(connection)
            async with within(connection.begin()):
                yield connection
        except TimeoutError:
            # One that hangs is not given to the next unit.
            await connection.invalidate()
            raise
        finally:
            await connection.close()


async def connect(engine: AsyncEngine) -> AsyncConnection:
    """A connection; raises Temporary if there is none. SQLAlchemy passes the driver's own errors on as they are."""
    try:
        with failures():
            return await Uninterrupted(engine).start()
    except _driver_errors(engine) as error:
        raise _unreachable(error) from error


def _driver_errors(engine: AsyncEngine) -> tuple[type[Exception], ...]:
    if engine.dialect.name == "sqlite":
        return (OSError,)
    import asyncpg

    return (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


@contextmanager
def failures() -> Iterator[None]:
    """Turns a database that cannot be reached into Temporary, and a damaged one into a sentence."""
    try:
        yield
    except PoolTimeoutError as error:
        raise Temporary("The database is busy.", RETRY_AFTER_S) from error
    except TimeoutError as error:
        # The driver's own, which SQLAlchemy passes on as it is.
        raise Temporary(f"The database did not answer within {WAIT_S} s.", RETRY_AFTER_S) from error
    except IntegrityError:
        raise
    except DBAPIError as error:
        away = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
        if away and not any(fault in str(error.orig) for fault in _OUR_FAULT):
            raise _unreachable(error.orig or error) from error
        if getattr(error.orig, "sqlite_errorname", "").startswith(_DAMAGED):
            raise PenstockError(f"The database's file is damaged: {error.orig}.") from error
        raise


def _unreachable(error: BaseException) -> Temporary:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Temporary(f"The database cannot be reached: {reason}", RETRY_AFTER_S)


@asynccontextmanager
async def unique(connection: AsyncConnection, message: str) -> AsyncIterator[None]:
    """Within it a duplicate key raises AlreadyExists with that message, and leaves the unit usable."""
    try:
        async with within(connection.begin_nested()):
            yield
    except IntegrityError as error:
        if _is_duplicate(error):
            raise AlreadyExists(message) from error
        raise


def _is_duplicate(error: IntegrityError) -> bool:
    name = getattr(error.orig, "sqlite_errorname", None)
    return name in _DUPLICATE_SQLITE or getattr(error.orig, "sqlstate", None) == _DUPLICATE_POSTGRESQL


def insert_into(connection: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An insert statement that knows `on_conflict_do_nothing` and `on_conflict_do_update` on both databases."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)
