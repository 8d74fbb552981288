"""A database that is only read: beside a running server, or without one; it takes no claim and changes nothing."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from penstock.adapters.store.database import open_engine, parse_url, transaction
from penstock.adapters.store.migrations import HEAD
from penstock.adapters.store.store import SqlUnit
from penstock.domain.errors import Conflict, DoesNotExist, PenstockError

MOST_DAMAGE = 20


class ReadUnit(SqlUnit):
    """One transaction that only reads."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self._connection = connection

    async def damage(self) -> Sequence[str]:
        """What is wrong with the database's file itself, in its own words; at most 20 of it. PostgreSQL tells nothing.

        SQLite answers from an index where it can, so that a table may hold something else than is read.
        """
        if self._connection.dialect.name != "sqlite":
            return ()
        found = await self._connection.scalars(text(f"PRAGMA integrity_check({MOST_DAMAGE})"))
        return [line for answer in found if answer != "ok" for line in str(answer).splitlines()][:MOST_DAMAGE]


class SqlReader:
    """A database by URL, as of `SqlStore`; raises InvalidParameter if the URL is not of a known database."""

    def __init__(self, url: str) -> None:
        self._url = parse_url(url)
        self._engine = self._open()

    def _open(self) -> AsyncEngine:
        if self._url.get_backend_name() != "sqlite":
            return open_engine(self._url)
        file = Path(str(self._url.database)).absolute()
        if not file.is_file():
            raise DoesNotExist(f"There is no database {file}.")
        engine = create_async_engine(
            self._url.set(database=f"file:{file}").update_query_dict({"mode": "ro", "uri": "true"}),
            hide_parameters=True,
        )
        event.listen(engine.sync_engine, "connect", _without_begin)
        event.listen(engine.sync_engine, "begin", _begin)
        return engine

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[ReadUnit]:
        """One transaction that sees the database as it is at its beginning, and cannot write.

        Raises Temporary if the database cannot be reached, Conflict if it is of another version of Penstock, and
        PenstockError if what it holds cannot be read.
        """
        try:
            async with transaction(self._engine) as connection:
                if self._url.get_backend_name() != "sqlite":
                    await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
                await _check(connection)
                yield ReadUnit(connection)
        except (DBAPIError, UnicodeDecodeError) as error:
            told = error.orig if isinstance(error, DBAPIError) else error
            raise PenstockError(f"The database cannot be read: {told}.") from error

    async def close(self) -> None:
        """Gives the connection back."""
        await self._engine.dispose()


async def _check(connection: AsyncConnection) -> None:
    try:
        revision = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    except DBAPIError as error:
        raise Conflict("The database is not one of Penstock.") from error
    if revision != HEAD:
        raise Conflict(
            f"The database is of another version of Penstock ({revision}, not {HEAD}); starting the server updates it."
        )


def _without_begin(connection: Any, _record: object) -> None:
    # The driver's own transaction handling would begin late.
    connection.isolation_level = None
    # Text that was damaged is read all the same, for a check to name its row.
    connection.driver_connection.text_factory = _text


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
