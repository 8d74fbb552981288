"""A database that is only read: beside a running server, or without one; it takes no claim and changes nothing."""

from collections.abc import AsyncIterator
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
from penstock.domain.errors import Conflict, DoesNotExist


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
    async def unit(self) -> AsyncIterator[SqlUnit]:
        """One transaction that sees the database as it is at its beginning, and cannot write.

        Raises Temporary if the database cannot be reached, and Conflict if it is of another version of Penstock.
        """
        async with transaction(self._engine) as connection:
            if self._url.get_backend_name() != "sqlite":
                await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            await _check(connection)
            yield SqlUnit(connection)

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


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
