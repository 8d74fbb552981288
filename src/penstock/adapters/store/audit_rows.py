"""Rows of the audit log; the contract is `penstock.ports.audit_rows`."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.database import insert_into
from penstock.adapters.store.tables.audit import AUDIT
from penstock.domain.audit_entry import AuditEntry, AuditFilter, Result


class SqlAuditRows:
    """See `penstock.ports.audit_rows.AuditRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Adds the entries that are not there."""
        if entries:
            values = [asdict(entry) for entry in entries]
            await self._connection.execute(insert_into(self._connection, AUDIT).on_conflict_do_nothing(), values)

    async def find(self, only: AuditFilter, *, after: str = "", limit: int = 1000) -> Sequence[AuditEntry]:
        """The newest entries behind `after`."""
        query = select(AUDIT).where(*_conditions(only)).order_by(AUDIT.c.id.desc()).limit(limit)
        if after:
            query = query.where(AUDIT.c.id < after)
        return [AuditEntry(**row._asdict()) for row in await self._connection.execute(query)]

    async def sweep(self, before: int) -> int:
        """Forgets old entries."""
        return (await self._connection.execute(delete(AUDIT).where(AUDIT.c.at < before))).rowcount


def _conditions(only: AuditFilter) -> list[ColumnElement[bool]]:
    texts = ("principal", "object_type", "object_name", "request_id")
    found = [AUDIT.c[name] == getattr(only, name) for name in texts if getattr(only, name)]
    refused = AUDIT.c.status.in_((401, 403))
    if only.result is Result.REFUSED:
        found.append(refused)
    elif only.result is Result.FAILED:
        found += [AUDIT.c.status >= 400, ~refused]  # noqa: PLR2004 - where errors begin
    elif only.result is Result.DONE:
        found.append(AUDIT.c.status < 400)  # noqa: PLR2004 - where errors begin
    if only.since is not None:
        found.append(AUDIT.c.at >= only.since)
    if only.until is not None:
        found.append(AUDIT.c.at < only.until)
    return found
