"""A store in memory with real transactions: a unit works on a copy, which replaces the original if all went well."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from penstock.domain.errors import PenstockError, Temporary
from penstock.testing.access_rows import FakeAccessRows
from penstock.testing.audit_rows import FakeAuditRows
from penstock.testing.batch_rows import FakeBatchRows
from penstock.testing.catalog_rows import FakeCatalogRows
from penstock.testing.endpoint_rows import FakeEndpointRows
from penstock.testing.grant_rows import FakeGrantRows
from penstock.testing.group_rows import FakeGroupRows
from penstock.testing.ledger_rows import FakeLedgerRows
from penstock.testing.place_rows import FakePlaceRows
from penstock.testing.profile_rows import FakeProfileRows
from penstock.testing.replica_rows import FakeReplicaRows
from penstock.testing.request_rows import FakeRequestRows
from penstock.testing.scaling_rows import FakeScalingRows
from penstock.testing.secret_rows import FakeSecretRows
from penstock.testing.upload_rows import FakeUploadRows


@dataclass
class FakeUnit:
    """One transaction; see `penstock.ports.store.Unit`.

    Rows of each noun are a dataclass whose fields are dictionaries and lists of immutable facts, so that a shallow
    copy of each field is a copy of the whole.
    """

    access: FakeAccessRows = field(default_factory=FakeAccessRows)
    groups: FakeGroupRows = field(default_factory=FakeGroupRows)
    endpoints: FakeEndpointRows = field(default_factory=FakeEndpointRows)
    places: FakePlaceRows = field(default_factory=FakePlaceRows)
    replicas: FakeReplicaRows = field(default_factory=FakeReplicaRows)
    profiles: FakeProfileRows = field(default_factory=FakeProfileRows)
    catalog: FakeCatalogRows = field(default_factory=FakeCatalogRows)
    uploads: FakeUploadRows = field(default_factory=FakeUploadRows)
    batches: FakeBatchRows = field(default_factory=FakeBatchRows)
    requests: FakeRequestRows = field(default_factory=FakeRequestRows)
    scaling: FakeScalingRows = field(default_factory=FakeScalingRows)
    ledger: FakeLedgerRows = field(default_factory=FakeLedgerRows)
    secrets: FakeSecretRows = field(default_factory=FakeSecretRows)
    audit: FakeAuditRows = field(default_factory=FakeAuditRows)
    grants: FakeGrantRows = field(default_factory=FakeGrantRows)

    def copy(self) -> "FakeUnit":
        """The same rows, independent of these."""
        return FakeUnit(**{part.name: _copied(getattr(self, part.name)) for part in fields(self)})


def _copied(rows: Any) -> Any:
    fresh = copy.copy(rows)
    for part in fields(rows):
        setattr(fresh, part.name, copy.copy(getattr(rows, part.name)))
    return fresh


class FakeStore:
    """See `penstock.ports.store.Store`. Set `away` to make it unreachable."""

    def __init__(self) -> None:
        self.rows = FakeUnit()
        self.away = False
        self._lock = asyncio.Lock()
        self._holder: asyncio.Task[object] | None = None

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[FakeUnit]:
        """One transaction; one after another."""
        task = asyncio.current_task()
        if task is not None and task is self._holder:
            raise PenstockError("A unit was asked for inside a unit of the same task.")
        await self.ping()
        async with self._lock:
            self._holder = task
            try:
                draft = self.rows.copy()
                yield draft
                await self.ping()
                self.rows = draft
            finally:
                self._holder = None

    async def ping(self) -> None:
        """Raises Temporary while away."""
        if self.away:
            raise Temporary("The database cannot be reached.", 2)

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""
