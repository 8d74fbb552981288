"""The audit log in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.domain.audit_entry import AuditEntry, AuditFilter


@dataclass
class FakeAuditRows:
    """See `penstock.ports.audit_rows.AuditRows`."""

    by_id: dict[str, AuditEntry] = field(default_factory=dict)

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Adds the entries that are not there."""
        for entry in entries:
            self.by_id.setdefault(entry.id, entry)

    async def find(self, only: AuditFilter, *, after: str = "", limit: int = 1000) -> Sequence[AuditEntry]:
        """The newest entries behind `after`."""
        ids = sorted((key for key in self.by_id if not after or key < after), reverse=True)
        return [self.by_id[key] for key in ids if only.admits(self.by_id[key])][:limit]

    async def sweep(self, before: int) -> int:
        """Forgets old entries."""
        old = [key for key, entry in self.by_id.items() if entry.at < before]
        for key in old:
            del self.by_id[key]
        return len(old)
