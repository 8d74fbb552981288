"""The audit log, as stored."""

from collections.abc import Sequence
from typing import Protocol

from penstock.domain.audit_entry import AuditEntry, AuditFilter


class AuditRows(Protocol):
    """Rows of entries, which are never changed."""

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Adds entries, leaving alone those that are there."""
        ...

    async def find(self, only: AuditFilter, *, after: str = "", limit: int = 1000) -> Sequence[AuditEntry]:
        """Entries by id, newest first; `after` is the id of the last one of the page before."""
        ...

    async def sweep(self, before: int) -> int:
        """Forgets entries older than `before` (epoch milliseconds); returns how many."""
        ...
