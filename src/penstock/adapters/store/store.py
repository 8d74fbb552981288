"""The database as a store of units; the contract is `penstock.ports.store`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.access_rows import SqlAccessRows
from penstock.adapters.store.audit_rows import SqlAuditRows
from penstock.adapters.store.batch_rows import SqlBatchRows
from penstock.adapters.store.catalog_rows import SqlCatalogRows
from penstock.adapters.store.claim import claim_for
from penstock.adapters.store.companion import make_schema
from penstock.adapters.store.database import open_engine, parse_url, transaction
from penstock.adapters.store.endpoint_rows import SqlEndpointRows
from penstock.adapters.store.grant_rows import SqlGrantRows
from penstock.adapters.store.group_rows import SqlGroupRows
from penstock.adapters.store.ledger_rows import SqlLedgerRows
from penstock.adapters.store.migrate import migrate
from penstock.adapters.store.place_rows import SqlPlaceRows
from penstock.adapters.store.profile_rows import SqlProfileRows
from penstock.adapters.store.replica_rows import SqlReplicaRows
from penstock.adapters.store.request_rows import SqlRequestRows
from penstock.adapters.store.scaling_rows import SqlScalingRows
from penstock.adapters.store.secret_rows import SqlSecretRows
from penstock.adapters.store.upload_rows import SqlUploadRows
from penstock.domain.errors import PenstockError

_CLAIMED = "penstock.claimed"


class SqlUnit:
    """One transaction; see `penstock.ports.store.Unit`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.access = SqlAccessRows(connection)
        self.groups = SqlGroupRows(connection)
        self.endpoints = SqlEndpointRows(connection)
        self.places = SqlPlaceRows(connection)
        self.replicas = SqlReplicaRows(connection)
        self.profiles = SqlProfileRows(connection)
        self.catalog = SqlCatalogRows(connection)
        self.uploads = SqlUploadRows(connection)
        self.batches = SqlBatchRows(connection)
        self.requests = SqlRequestRows(connection)
        self.scaling = SqlScalingRows(connection)
        self.ledger = SqlLedgerRows(connection)
        self.secrets = SqlSecretRows(connection)
        self.audit = SqlAuditRows(connection)
        self.grants = SqlGrantRows(connection)


class SqlStore:
    """A database by URL (sqlite:///PATH or postgresql://...); raises InvalidParameter if the URL is not of these."""

    def __init__(self, url: str) -> None:
        self._url = parse_url(url)
        self._engine = open_engine(self._url)
        self._claim = claim_for(self._url)
        self._holder: asyncio.Task[object] | None = None
        self._opened = False

    async def open(self) -> None:
        """Claims the database for this process and brings its schema up to date.

        Raises Conflict if another server has it or a newer Penstock wrote it, Temporary if it cannot be reached.
        """
        await self._claim.take()
        async with transaction(self._engine) as connection:
            await connection.run_sync(migrate)
        self._opened = True

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[SqlUnit]:
        """One transaction. Units of one process run one after another; a unit inside a unit is refused."""
        task = asyncio.current_task()
        if task is not None and task is self._holder:
            raise PenstockError("A unit was asked for inside a unit of the same task.")
        async with transaction(self._engine, self._claimed) as connection:
            self._holder = task
            try:
                yield SqlUnit(connection)
            finally:
                self._holder = None

    async def _claimed(self, connection: AsyncConnection) -> None:
        """What ended a connection may have ended the claim too: it is made sure of before a new one is used."""
        if self._opened and _CLAIMED not in connection.info:
            await self._claim.confirm()
            connection.info[_CLAIMED] = True

    async def make_schema(self, name: str) -> None:
        """Makes a schema for another program's tables, where the database has schemas. Safe to repeat."""
        async with transaction(self._engine) as connection:
            await make_schema(connection, name)

    async def ping(self) -> None:
        """Returns if the database answers and is still ours; raises Temporary if not."""
        await self._claim.confirm()
        async with transaction(self._engine) as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Gives the connection and the claim back."""
        self._opened = False
        await self._engine.dispose()
        await self._claim.give_back()
